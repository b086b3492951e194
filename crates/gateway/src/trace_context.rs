//! Traces of requests: W3C Trace Context on the way in and out, and spans for whoever collects them.

use std::{fmt, sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_events::{Span, SpanValue, TraceIds, known_method};
use portcullis_types::{Entropy, Timestamp, random_array};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// Which requests are traced, and where their spans go.
pub struct Tracing {
    /// Of so many requests out of 2^32 a trace begins here.
    pub share: u64,
    /// Where spans go. Must not block.
    pub sink: Arc<dyn Fn(Span) + Send + Sync>,
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("share", &self.share).finish_non_exhaustive()
    }
}

/// A request that is part of a trace.
#[derive(Debug, Clone)]
pub(crate) struct Traced {
    pub ids: TraceIds,
    pub parent: Option<[u8; 8]>,
    /// Whether its spans are collected.
    pub sampled: bool,
    pub begun: Timestamp,
}

impl Tracing {
    /// The trace of a request. One that came from outside goes on, but whether it is collected is
    /// decided here, unless whoever asked is `trusted`: collecting costs, and strangers would choose it.
    pub(crate) fn begin(
        &self,
        headers: &HeaderMap,
        trusted: bool,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Traced {
        let given = given(headers);
        let drawn = u32::from_be_bytes(random_array(entropy));
        let chosen = u64::from(drawn) < self.share;
        let span = random_array(entropy);
        match given {
            Some((ids, sampled)) => Traced {
                ids: TraceIds { trace: ids.trace, span },
                parent: Some(ids.span),
                sampled: if trusted { sampled } else { chosen },
                begun: now,
            },
            None => Traced {
                ids: TraceIds { trace: random_array(entropy), span },
                parent: None,
                sampled: chosen,
                begun: now,
            },
        }
    }
}

/// What a span is called: few different ones, whatever methods strangers make up.
pub(crate) fn span_name(method: &str, path: &str) -> String {
    let method = if known_method(method) { method } else { "HTTP" };
    format!("{method} {path}")
}

impl Traced {
    /// The trace as another sees it who is asked for this request under the span `span`. What is said
    /// of a trace that was not understood is not passed on (W3C Trace Context, section 4.3).
    pub fn pass_on(&self, span: [u8; 8], headers: &mut HeaderMap) {
        let (trace, span) = (HEXLOWER.encode(&self.ids.trace), HEXLOWER.encode(&span));
        let flags = if self.sampled { SAMPLED } else { 0 };
        if self.parent.is_none() {
            headers.remove(TRACESTATE);
        }
        if let Ok(value) = HeaderValue::from_str(&format!("00-{trace}-{span}-{flags:02x}")) {
            headers.insert(TRACEPARENT, value);
        }
    }

    /// The span of asking another for it.
    pub fn asking(
        &self,
        span: [u8; 8],
        name: String,
        (begun, took): (Timestamp, Duration),
        attributes: Vec<(&'static str, SpanValue)>,
        error: Option<String>,
    ) -> Span {
        let ids = TraceIds { trace: self.ids.trace, span };
        let parent = Some(self.ids.span);
        Span { ids, parent, asked_another: true, name, begun, took, attributes, error }
    }
}

/// What the request says of its trace, if it says it well (section 3.2): a later version is read as far
/// as this one goes.
fn given(headers: &HeaderMap) -> Option<(TraceIds, bool)> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (value, None) = (all.next()?.as_bytes(), all.next()) else { return None };
    let field = |from: usize, to: usize| {
        let text = value.get(from..to)?;
        // Upper case is not hexadecimal here.
        HEXLOWER.decode(text).ok()
    };
    let dash = |at: usize| value.get(at) == Some(&b'-');
    let version = *field(0, 2)?.first()?;
    let ends = match version {
        0 => value.len() == 55,
        0xff => false,
        _ => value.len() == 55 || dash(55),
    };
    if !(ends && dash(2) && dash(35) && dash(52)) {
        return None;
    }
    let trace: [u8; 16] = field(3, 35)?.try_into().ok()?;
    let span: [u8; 8] = field(36, 52)?.try_into().ok()?;
    let flags = *field(53, 55)?.first()?;
    let named = trace != [0; 16] && span != [0; 8];
    named.then_some((TraceIds { trace, span }, flags & SAMPLED != 0))
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::SeededEntropy;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, value.parse().unwrap());
        }
        headers.insert(TRACESTATE, "a=1".parse().unwrap());
        headers
    }

    fn begin(headers: &HeaderMap, trusted: bool, share: u64) -> Traced {
        let tracing = Tracing { share, sink: Arc::new(drop) };
        tracing.begin(headers, trusted, Timestamp::from_secs(1), &*SeededEntropy::new(1))
    }

    #[test]
    fn strangers_do_not_name_spans() {
        assert_eq!(span_name("GET", "/a/{x}"), "GET /a/{x}");
        assert_eq!(span_name("MADEUP1", "-"), "HTTP -");
    }

    #[test]
    fn a_trace_goes_on_and_strangers_do_not_choose_what_is_collected() {
        for (trusted, share, sampled) in
            [(true, 0, true), (false, 0, false), (false, 1 << 32, true)]
        {
            let mut passed = headers(&[GOOD]);
            let traced = begin(&passed, trusted, share);
            assert_eq!(traced.sampled, sampled);
            assert_eq!(HEXLOWER.encode(&traced.parent.unwrap()), "00f067aa0ba902b7");
            traced.pass_on([7; 8], &mut passed);
            let flags = if sampled { "01" } else { "00" };
            let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-{flags}");
            assert_eq!(passed[TRACEPARENT], expected);
            assert!(passed.contains_key(TRACESTATE));
        }
    }

    #[test]
    fn what_is_not_understood_begins_anew() {
        let upper = GOOD.to_uppercase();
        let (short, long) = (&GOOD[..54], format!("{GOOD}-x"));
        let zero_trace = GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = GOOD.replace("00f067aa0ba902b7", &"0".repeat(16));
        let other =
            [GOOD.replace("00-4", "ff-4"), GOOD.replace("-01", "_01"), GOOD.replace("4bf", "4 f")];
        let wrong =
            [&upper, short, &long, &zero_trace, &zero_span, &other[0], &other[1], &other[2], ""];
        for value in wrong {
            let mut passed = headers(&[value]);
            let traced = begin(&passed, true, 0);
            assert!(traced.parent.is_none() && !traced.sampled, "{value}");
            traced.pass_on([7; 8], &mut passed);
            assert!(!passed.contains_key(TRACESTATE) && passed[TRACEPARENT] != value);
        }
        assert!(begin(&headers(&[GOOD, GOOD]), true, 0).parent.is_none());
        // A later version is read as this one.
        for later in
            [GOOD.replace("00-4", "01-4"), format!("{}-more", GOOD.replace("00-4", "cc-4"))]
        {
            assert!(begin(&headers(&[&later]), true, 0).sampled, "{later}");
        }
    }
}
