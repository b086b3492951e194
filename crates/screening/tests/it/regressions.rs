//! What a reader with fresh eyes found.

use portcullis_screening::Schema;

use crate::{names, verdict};

#[test]
fn near_names_of_different_people_and_things() {
    for (schema, left, right) in [
        (Schema::Person, "John (Smith)", "John (Miller)"),
        (Schema::Person, "Kim (Jong Un)", "Kim (Il Sung)"),
        (Schema::Company, "Bank (Alpha)", "Bank (Beta)"),
        (Schema::Person, "Dina Smith", "Tina Smith"),
        (Schema::Person, "Leonard Weber", "Ronald Weber"),
        (Schema::Person, "Le Van Minh", "Do Van Minh"),
        (Schema::Person, "Susan Ali", "Sayd Ali"),
        (Schema::Person, "Rajesh Kumar", "Rajesh Singh"),
        (Schema::Person, "Meng Hong Wei", "Li Hong Wei"),
        (Schema::Person, "صدام حسن", "صدام كريم"),
        (Schema::Person, "Edmund Fairbanks II", "Edmund Fairbanks III"),
        (Schema::Person, "Valentina Sidorova", "Valentin Sidorov"),
        (
            Schema::Person,
            "Ahmed Khalid Yusuf Ibrahim Salim al-Hadi",
            "Ahmed Khalid Yusuf Ibrahim Salim al-Nuri",
        ),
        (Schema::Person, "王建国", "王建民"),
        (Schema::Company, "Twenty-Two Brigade", "Brigade 23"),
        (Schema::Company, "Kazanskiy Zavod Granit", "Ural Zavod Granit"),
    ] {
        let score = names(schema, left, right);
        assert!(score < 0.7, "{left} / {right}: {score}");
    }
}

#[test]
fn the_same_people_and_things() {
    for (schema, left, right) in [
        (Schema::Person, "إياد علاوي", "Ayad Allawi"),
        (Schema::Person, "Ю. Иванов", "Юрий Иванов"),
        (Schema::Person, "Ю.А. Иванов", "Юрий Алексеевич Иванов"),
        (Schema::Person, "JC Juncker", "Jean-Claude Juncker"),
        (Schema::Person, "Anna Petrova", "Anna Petrov"),
        (Schema::Person, "Vladimir Рutin", "Vladimir Putin"),
        (Schema::Company, "A B C Trading", "ABC Trading"),
        (Schema::Vessel, "Océan1", "Ocean 1"),
        (Schema::Company, "Alpha GMBH", "Alpha GMB"),
        (Schema::Company, "Alpha GMB", "Alpha GMBH"),
        (Schema::Person, "Abu Bakr Usman Danjuma", "Abubakar Othman Danjuma"),
        (Schema::Person, "عبد الرحمن يوسف", "Abdulrahman Yousef"),
        (Schema::Person, "Abdulmalik al-Houthi", "عبد الملك الحوثي"),
        (Schema::Person, "Kim Jong Un", "Kim Jong-eun"),
        (Schema::Person, "山田太郎", "やまだ たろう"),
        (Schema::Person, "Ali Hosseini Khamenei", "Ayatollah Sayyid Ali Khamenei"),
        (Schema::Person, "Haji Bashir Noorzai", "Haji Noorzai"),
        (Schema::Person, "Dmitry Kozak", "Dimitri Kosak"),
        (Schema::Company, "Gulf Petroleum", "Gulf Petrol"),
        (Schema::Company, "Brigade 313", "Three Hundred and Thirteen Brigade"),
        (Schema::Company, "1920 Revolution Brigades", "Nineteen Twenty Revolution Brigades"),
        (Schema::Company, "Second Academy of Natural Sciences", "2nd Academy of Natural Sciences"),
        (Schema::Company, "Kazanskiy Granit", "Kazan Granit"),
        (Schema::Company, "PDVSA", "Petróleos de Venezuela S.A."),
        (Schema::Person, "Rnarko Petrov", "Marko Petrov"),
        (Schema::Person, "Marko Petrov", "Rnarko Petrov"),
    ] {
        let score = names(schema, left, right);
        assert!(score >= 0.7, "{left} / {right}: {score}");
    }
}

#[test]
fn placeholders_and_short_numbers_decide_nothing() {
    for (property, value) in [
        ("imoNumber", "0000000"),
        ("innCode", "00000"),
        ("leiCode", "UNKNOWN0"),
        ("passportNumber", "UNKNOWN1"),
    ] {
        let found = verdict(
            Schema::LegalEntity,
            &[("name", "Ivan Petrov"), (property, value)],
            &[("name", "Ali Hassan"), (property, value)],
        );
        assert!(!found.is_match, "{property} {value}: {}", found.score);
    }
    let found = verdict(
        Schema::Company,
        &[("name", "Alpha Trading"), ("registrationNumber", "12345")],
        &[("name", "Zeta Mining"), ("licenseNumber", "12345")],
    );
    assert!(!found.is_match);
    assert!(
        verdict(
            Schema::Company,
            &[("name", "A"), ("swiftBic", "DEUTDEFF")],
            &[("name", "B"), ("swiftBic", "DEUTDEFFXXX")]
        )
        .is_match
    );
    assert!(
        verdict(
            Schema::Address,
            &[("full", "10 Downing Street, London SW1A 2AA")],
            &[("full", "10 Downing St., London, SW1A 2AA")]
        )
        .is_match
    );
}

#[test]
fn what_a_stranger_can_send_costs_little() {
    // Two entities at every limit: this takes under a second when it is optimised, and ends.
    let kinds =
        ["passportNumber", "idNumber", "taxNumber", "registrationNumber", "innCode", "swiftBic"];
    let side = |seed: usize| {
        let mut values: Vec<(&str, String)> = Vec::new();
        for at in 0..300 {
            values.extend(kinds.map(|kind| (kind, format!("{seed}{at:07}"))));
            values.push(("address", format!("{seed} {}", "street of many words ".repeat(6))));
            values.push(("alias", format!("name{at} {}", "lorem ipsum dolor ".repeat(8))));
        }
        values
    };
    let (left, right) = (side(1), side(2));
    let borrow = |values: &'static Vec<(&'static str, String)>| {
        values.iter().map(|(property, value)| (*property, value.as_str())).collect::<Vec<_>>()
    };
    let (left, right) = (Box::leak(Box::new(left)), Box::leak(Box::new(right)));
    assert!(verdict(Schema::Company, &borrow(left), &borrow(right)).score <= 1.0);
}
