//! Records of an XML file, each as a small tree.
//!
//! Namespaces are ignored: publishers change theirs. No document type, no entity but the five of XML and
//! numbers, no encoding but UTF-8; depth, size and count of what one record holds are bounded.

use std::io::{self, BufRead, Read};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

use super::{ImportError, text::clean, unsound};

/// Elements one in another.
pub const XML_MAX_DEPTH: usize = 24;

/// Elements of one record.
pub const RECORD_MAX_ELEMENTS: usize = 50_000;

/// Bytes of one record, and of any piece of the file between two of them.
pub const RECORD_MAX_BYTES: usize = 8 << 20;

/// An element.
#[derive(Debug, Default)]
pub struct Element {
    /// Its name without a prefix.
    pub name: String,
    attributes: Vec<(String, String)>,
    /// Its text, cleaned; that of elements inside is not part of it.
    pub text: String,
    /// Elements inside.
    pub children: Vec<Element>,
}

impl Element {
    /// An attribute; empty if there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }

    /// The elements of that name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first element of that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of that name; empty if there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.as_str())
    }

    /// The elements at the end of a path.
    pub fn path<'e>(&'e self, path: &'e [&'e str]) -> Vec<&'e Element> {
        path.iter().fold(vec![self], |level, name| {
            level.into_iter().flat_map(|element| element.all(name)).collect()
        })
    }
}

/// A piece of a file.
#[derive(Debug)]
pub enum Piece {
    /// The root, with its attributes.
    Root(Element),
    /// A record.
    Record(Element),
}

/// Reads a file and hands on its root and every record: an element of one of the names in `records`.
pub struct Records<R> {
    reader: Reader<Capped<R>>,
    records: &'static [&'static str],
    /// The names of the open elements outside of a record.
    open: Vec<String>,
    rooted: bool,
    buffer: Vec<u8>,
}

impl<R: BufRead> Records<R> {
    /// Begins to read.
    pub fn new(input: R, records: &'static [&'static str]) -> Self {
        let mut reader = Reader::from_reader(Capped { input, left: RECORD_MAX_BYTES });
        reader.config_mut().expand_empty_elements = true;
        Self { reader, records, open: Vec::new(), rooted: false, buffer: Vec::new() }
    }

    /// The next piece; `None` when the root has ended.
    pub fn next(&mut self) -> Result<Option<Piece>, ImportError> {
        loop {
            match self.event()? {
                Token::Start(element) if !self.rooted => {
                    self.rooted = true;
                    self.open.push(element.name.clone());
                    return Ok(Some(Piece::Root(element)));
                }
                Token::Start(_) if self.open.is_empty() => {
                    return Err(self.unsound("something follows the root"));
                }
                Token::Start(element) if self.records.contains(&element.name.as_str()) => {
                    return Ok(Some(Piece::Record(self.record(element)?)));
                }
                Token::Start(element) => {
                    self.open.push(element.name);
                    if self.open.len() > XML_MAX_DEPTH {
                        return Err(self.unsound("elements are nested too deep"));
                    }
                }
                Token::End => {
                    self.open.pop();
                }
                Token::Text(_) => {}
                Token::Eof if self.rooted && self.open.is_empty() => return Ok(None),
                Token::Eof => {
                    return Err(self.unsound("the file ends in the middle: it is not whole"));
                }
            }
        }
    }

    /// Where the reader is.
    pub fn place(&self) -> String {
        format!("byte {}", self.reader.buffer_position())
    }

    fn unsound(&self, reason: impl Into<String>) -> ImportError {
        unsound(self.place(), reason)
    }

    fn record(&mut self, element: Element) -> Result<Element, ImportError> {
        let from = self.reader.buffer_position();
        let mut stack = vec![element];
        let mut elements = 1;
        loop {
            if self.reader.buffer_position() - from > RECORD_MAX_BYTES as u64
                || elements > RECORD_MAX_ELEMENTS
            {
                return Err(self.unsound("a record is too large"));
            }
            match self.event()? {
                Token::Start(_) if stack.len() >= XML_MAX_DEPTH => {
                    return Err(self.unsound("elements are nested too deep"));
                }
                Token::Start(element) => {
                    elements += 1;
                    stack.push(element);
                }
                Token::Text(text) => {
                    if let Some(element) = stack.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Token::End => {
                    let Some(mut done) = stack.pop() else {
                        return Err(self.unsound("an end without a beginning"));
                    };
                    done.text = clean(&done.text);
                    match stack.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Ok(done),
                    }
                }
                Token::Eof => {
                    return Err(
                        self.unsound("the file ends in the middle of a record: it is not whole")
                    );
                }
            }
        }
    }

    fn event(&mut self) -> Result<Token, ImportError> {
        loop {
            self.buffer.clear();
            let place = self.reader.buffer_position();
            let fail = |reason: String| unsound(format!("byte {place}"), reason);
            let mut limited = std::mem::take(&mut self.buffer);
            self.reader.get_mut().left = RECORD_MAX_BYTES;
            let event = self.reader.read_event_into(&mut limited);
            let token = match event {
                Err(error) => Err(fail(format!("not well-formed XML: {error}"))),
                Ok(Event::Start(start)) => {
                    element(&start).map(|element| Some(Token::Start(element))).map_err(fail)
                }
                Ok(Event::End(_)) => Ok(Some(Token::End)),
                Ok(Event::Text(text)) => Ok(Some(Token::Text(text.to_string()))),
                Ok(Event::CData(text)) => Ok(Some(Token::Text(text.to_string()))),
                Ok(Event::GeneralRef(name)) => {
                    reference(&name).map(|text| Some(Token::Text(text))).map_err(fail)
                }
                Ok(Event::DocType(_)) => {
                    Err(fail("a document type is refused: it could define entities".into()))
                }
                Ok(Event::Decl(declaration)) => match declaration.encoding() {
                    Some(Ok(encoding))
                        if !encoding.eq_ignore_ascii_case("utf-8")
                            && !encoding.eq_ignore_ascii_case("us-ascii") =>
                    {
                        Err(fail("the encoding is not UTF-8".into()))
                    }
                    _ => Ok(None),
                },
                Ok(Event::Eof) => Ok(Some(Token::Eof)),
                Ok(_) => Ok(None),
            };
            self.buffer = limited;
            if let Some(token) = token? {
                return Ok(token);
            }
        }
    }
}

/// Input of which one event may take so much and no more.
struct Capped<R> {
    input: R,
    left: usize,
}

impl<R: BufRead> Read for Capped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let have = self.fill_buf()?;
        let taken = have.len().min(into.len());
        into[..taken].copy_from_slice(&have[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

impl<R: BufRead> BufRead for Capped<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a piece is longer than {RECORD_MAX_BYTES} bytes"),
            ));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, taken: usize) {
        self.left = self.left.saturating_sub(taken);
        self.input.consume(taken);
    }
}

enum Token {
    Start(Element),
    Text(String),
    End,
    Eof,
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element =
        Element { name: start.local_name().as_ref().to_owned(), ..Element::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| error.to_string())?;
        element.attributes.push((attribute.key.local_name().as_ref().to_owned(), clean(&value)));
    }
    Ok(element)
}

/// One of the five entities of XML, or a character by its number.
fn reference(name: &str) -> Result<String, String> {
    let number = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        },
        None => None,
    };
    let letter = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => number.and_then(char::from_u32),
    };
    letter.map(String::from).ok_or_else(|| format!("`&{name};` is not an entity of XML"))
}
