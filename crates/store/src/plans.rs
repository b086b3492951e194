//! Queries that must stay quick however many accounts there are. A test holds each of them against
//! what the database says it would do: an index, and no walk through a table.

use portcullis_types::{Id, tags};

use crate::{accounts, groups, query::Query, upstream};

/// Each with a name for whoever reads that it is slow.
pub fn hot_queries() -> Vec<(&'static str, Query)> {
    let tenant = "main";
    let account = Id::<tags::User>::from_bits(1);
    let group = Id::<tags::Group>::from_bits(1);
    vec![
        ("login by user name", accounts::by_username_query(tenant, "alice")),
        ("login by e-mail address", accounts::by_email_query(tenant, "alice@example.org")),
        ("an account", accounts::by_id_query(tenant, account)),
        ("a page of accounts", accounts::page_query(tenant, "usr_1", 50)),
        ("a page of flagged accounts", accounts::flagged_query(tenant, "usr_1", 50)),
        ("search by user name", accounts::username_prefix_query(tenant, "ali", "", 50)),
        ("search by e-mail address", accounts::email_prefix_query(tenant, "ali", "", 50)),
        ("whether there is an administrator", accounts::has_admin_query(tenant)),
        ("groups of an account", groups::of_account_query(tenant, account)),
        ("login with another provider", upstream::find_query(tenant, "acme", "1")),
        ("members of a group", groups::members_query(tenant, group, "usr_1", 50)),
    ]
}
