//! What the bytes of an entry must hold for a search to want it.

use memchr::memmem::Finder;

use crate::Filter;

/// For each condition that can be told by bytes, the texts of which one must be there. An entry
/// without is none that is looked for; one with them still has to be read.
pub(crate) struct Needles(Vec<Vec<Finder<'static>>>);

impl Needles {
    pub fn of(filter: &Filter) -> Self {
        // The rarest first: most entries fail at it.
        let mut all = Vec::new();
        if let Some(request) = &filter.request_id {
            all.push(vec![format!("\"correlation_uid\":{}", json(request))]);
        }
        if let Some(text) = &filter.text {
            let quoted = json(text);
            all.push(vec![quoted[1..quoted.len() - 1].to_owned()]);
        }
        if !filter.subjects.is_empty() {
            all.push(filter.subjects.iter().map(|subject| json(subject)).collect());
        }
        // An IPv6 network has too many spellings.
        if let Some(addr) = filter.addr.map(|addr| addr.to_string()).filter(|a| !a.contains(':')) {
            let tags = filter.addr_tags.iter().map(|tag| format!("{tag}\""));
            all.push(std::iter::once(json(&addr)).chain(tags).collect());
        }
        if let Some(kind) = &filter.kind {
            let quoted = json(kind);
            all.push(vec![format!("\"event_code\":{}", &quoted[..quoted.len() - 1])]);
        }
        let finders = |texts: Vec<String>| {
            texts.iter().map(|text| Finder::new(text.as_bytes()).into_owned()).collect()
        };
        Self(all.into_iter().map(finders).collect())
    }

    pub fn may_be_in(&self, bytes: &[u8]) -> bool {
        let any = |texts: &Vec<Finder<'_>>| texts.iter().any(|text| text.find(bytes).is_some());
        self.0.iter().all(any)
    }
}

/// The text as entries have it.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
