//! RFC 5424 messages over TLS (RFC 5425).

use std::{io, task::Poll, time::Duration};

use portcullis_types::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::{
    cef::cef,
    record::Record,
    sink::{SinkError, Taken},
    tls::{Stream, Tls, TlsSettings},
};

/// The receiver takes a batch in this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Reads of what a receiver says, which is nothing.
const MOST_READS: usize = 64;
/// "log audit".
const FACILITY: u8 = 13;
/// RFC 5424, section 7.3.1: `sequenceId` begins again after this one.
const MAX_SEQUENCE: u64 = 2_147_483_647;
/// What a receiver takes at least (RFC 5425, section 4.3.1).
const SHORTEST_MAX: usize = 2_048;

/// How a message says what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON.
    #[default]
    Ocsf,
    /// ArcSight.
    Cef,
}

/// Where messages go, and how they look.
#[derive(Debug, Clone)]
pub struct SyslogSettings {
    /// `HOST:PORT`; the port is 6514 where it is left out.
    pub address: String,
    /// Whom to trust, what to show.
    pub tls: TlsSettings,
    /// How.
    pub format: Format,
    /// What the messages call this machine.
    pub hostname: String,
    /// Messages are at most so many bytes long, from 2,048 on.
    pub max_message: usize,
}

/// A receiver of syslog messages.
#[derive(Debug)]
pub struct Syslog {
    host: String,
    port: u16,
    tls: Tls,
    format: Format,
    hostname: String,
    max_message: usize,
    open: Option<Stream>,
}

impl Syslog {
    /// # Errors
    /// In words, if the address or what TLS needs cannot be used.
    pub fn new(settings: SyslogSettings) -> Result<Self, String> {
        let url = url::Url::parse(&format!("syslog://{}", settings.address));
        let url = url.map_err(|error| format!("address: {error}"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() || !matches!(url.path(), "" | "/") || !url.username().is_empty() {
            return Err("address: expected HOST:PORT".to_owned());
        }
        if settings.max_message < SHORTEST_MAX {
            return Err(format!("max_message: at least {SHORTEST_MAX}"));
        }
        Ok(Self {
            host,
            port: url.port().unwrap_or(6514),
            tls: Tls::new(&settings.tls)?,
            format: settings.format,
            hostname: settings.hostname,
            max_message: settings.max_message,
            open: None,
        })
    }

    pub(crate) async fn send(&mut self, records: &[Record]) -> Result<Taken, SinkError> {
        let mut bytes = Vec::new();
        for record in records {
            let message = message(record, self.format, &self.hostname, self.max_message);
            frame(&message, &mut bytes);
        }
        let written = timeout(WRITE_TIMEOUT, self.write(&bytes)).await;
        match written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => Ok(Taken { confirmed: false, ..Taken::all(records) }),
            Err(error) => {
                self.open = None;
                Err(SinkError::later(error.to_string()))
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => self.tls.connect(&self.host, self.port, false).await?,
        };
        stream.write_all(bytes).await?;
        stream.flush().await?;
        self.open = Some(stream);
        Ok(())
    }

    /// A receiver says nothing, ever, but that it closes the connection.
    pub(crate) async fn stands(&mut self) -> bool {
        let Some(stream) = &mut self.open else { return false };
        let mut room = [0; 1_024];
        // What it says is passed over, but not without end.
        let stands = std::future::poll_fn(|context| {
            for _ in 0..MOST_READS {
                let mut room = ReadBuf::new(&mut room);
                match std::pin::Pin::new(&mut *stream).poll_read(context, &mut room) {
                    Poll::Pending => return Poll::Ready(true),
                    Poll::Ready(Ok(())) if !room.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                }
            }
            Poll::Ready(false)
        })
        .await;
        if !stands {
            self.open = None;
        }
        stands
    }
}

/// Puts a message into the stream (RFC 5425, section 4.3): its length, a space, itself.
pub fn frame(message: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(message.len().to_string().as_bytes());
    into.push(b' ');
    into.extend_from_slice(message);
}

/// A record as an RFC 5424 message of at most `most` bytes. What does not fit is left out, and the
/// message says so.
pub fn message(record: &Record, format: Format, hostname: &str, most: usize) -> Vec<u8> {
    let text = |record: &Record| match format {
        Format::Ocsf => record.json(),
        Format::Cef => cef(record),
    };
    let whole = line(record, hostname, &text(record));
    if whole.len() <= most {
        return whole.into_bytes();
    }
    let mut brief = line(record, hostname, &text(&record.brief()));
    // Fields of the head have limits of their own; this is for what nobody thought of.
    let mut end = most.min(brief.len());
    while !brief.is_char_boundary(end) {
        end -= 1;
    }
    brief.truncate(end);
    brief.into_bytes()
}

fn line(record: &Record, hostname: &str, text: &str) -> String {
    let priority = FACILITY * 8 + severity(record.severity());
    let millis = i64::try_from(record.millis()).unwrap_or_default();
    let time = Timestamp::from_micros(millis.saturating_mul(1_000)).to_rfc3339();
    let hostname = printable(hostname, 255);
    let code = printable(record.code(), 32);
    let sequence = record.position % MAX_SEQUENCE + 1;
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<{priority}>1 {time} {hostname} portcullis - {code} [meta sequenceId=\"{sequence}\"]\
         [origin software=\"portcullis\" swVersion=\"{version}\"] {text}"
    )
}

/// PRINTUSASCII, at most `most` of it; `-` for nothing.
fn printable(text: &str, most: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// From OCSF's 0 to 6 to 6 (informational) to 1 (alert).
fn severity(id: u8) -> u8 {
    match id {
        2 => 5,
        3 => 4,
        4 => 3,
        5 => 2,
        6 => 1,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(more: &str) -> Record {
        let entry = serde_json::json!({
            "severity_id": 4, "time": 1_700_000_000_123_u64,
            "metadata": { "event_code": "alert_spray", "uid": "evt_1" }, "more": more,
        });
        Record::of(41, entry.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_message_has_the_fields_of_the_standard() {
        let text = String::from_utf8(message(&record(""), Format::Ocsf, "id.example", 8_192));
        let text = text.unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let head = format!(
            "<107>1 2023-11-14T22:13:20.123Z id.example portcullis - alert_spray \
             [meta sequenceId=\"42\"][origin software=\"portcullis\" swVersion=\"{version}\"] {{"
        );
        assert!(text.starts_with(&head), "{text}");
        let mut framed = Vec::new();
        frame(b"abc", &mut framed);
        assert_eq!(framed, b"3 abc");
    }

    #[test]
    fn a_long_one_is_shortened_and_says_so() {
        for format in [Format::Ocsf, Format::Cef] {
            let text = message(&record(&"x".repeat(9_000)), format, "h", 2_048);
            assert!(text.len() <= 2_048);
        }
        let text = message(&record(&"x".repeat(9_000)), Format::Ocsf, "h", 2_048);
        let text = String::from_utf8(text).unwrap();
        let json = &text[text.find('{').unwrap()..];
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(json["unmapped"]["shortened"], true);
        assert_eq!(json["unmapped"]["tlog_index"], 41);
    }

    #[test]
    fn what_is_not_printable_stays_out_of_the_head() {
        let mut record = record("");
        record.event["metadata"]["event_code"] = "a b\n<1>".into();
        let text = message(&record, Format::Cef, "h\n1", 8_192);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(" h1 portcullis - ab<1> [meta"), "{text}");
        assert!(!text.contains('\n'));
    }
}
