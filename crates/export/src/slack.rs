//! Incoming webhooks of Slack, and of the many that take the same.

use bytes::Bytes;
use serde_json::json;

use crate::{
    http::HttpClient,
    record::Record,
    sink::{SinkError, Taken},
};

/// A channel.
#[derive(Debug)]
pub struct Slack(HttpClient);

impl Slack {
    /// Posts to the URL of the client.
    pub fn new(client: HttpClient) -> Self {
        Self(client.hiding_its_path())
    }

    pub(crate) async fn send(&mut self, records: &[Record]) -> Result<Taken, SinkError> {
        let mut taken = Taken { count: 0, ..Taken::all(records) };
        for record in records {
            let body = json!({ "text": slack_text(record) }).to_string();
            let target = self.0.target();
            let posted = self.0.post(&target, &[], "application/json", Bytes::from(body)).await;
            if let Err(error) = taken.one_more(posted) {
                return taken.or(error);
            }
        }
        Ok(taken)
    }
}

/// A record in a few lines. Nothing in it is a link, a mention or a command.
pub fn slack_text(record: &Record) -> String {
    let title = record.text("/finding_info/title").unwrap_or_else(|| record.code());
    let mut lines = vec![format!("*{}*", escape(title))];
    let facts = [
        ("", record.text("/finding_info/desc").or_else(|| record.text("/comment"))),
        ("From ", record.addr().or_else(|| record.text("/unmapped/addr"))),
        ("Who: ", record.text("/actor/user/uid").or_else(|| record.text("/user/uid"))),
        ("Answer: ", record.text("/unmapped/answer")),
    ];
    for (label, fact) in facts {
        lines.extend(fact.map(|fact| format!("{label}{}", escape(fact))));
    }
    lines.push(format!("{} · log index {}", escape(record.code()), record.position));
    lines.join("\n")
}

fn escape(text: &str) -> String {
    let text = portcullis_events::clean(text);
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // Others that take the same read these as mentions and links.
    text.replace('@', "\u{ff20}").replace("](", "] (")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_by_an_alert() {
        let entry = serde_json::json!({
            "metadata": { "event_code": "alert_spray" },
            "finding_info": { "title": "<!channel> & co @all", "desc": "x\n<http://evil|here>[a](b)" },
            "unmapped": { "addr": "192.0.2.0/24", "answer": "block" },
        });
        let record = Record::of(5, entry.to_string().as_bytes()).unwrap();
        assert_eq!(
            slack_text(&record),
            "*&lt;!channel&gt; &amp; co \u{ff20}all*\nx\u{fffd}&lt;http://evil|here&gt;[a] (b)\nFrom 192.0.2.0/24\n\
             Answer: block\nalert_spray · log index 5"
        );
    }
}
