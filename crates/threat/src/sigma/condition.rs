//! Selections, and the expression over them.

use serde_json::{Map, Value};

use super::matcher::Item;

/// Parentheses in each other.
const MAX_DEPTH: usize = 32;
/// Fields, or maps, in a selection.
const MAX_ITEMS: usize = 200;
const MAX_SELECTIONS: usize = 100;
/// Words of a condition.
const MAX_WORDS: usize = 500;
/// Selections that a condition names, those it means by a pattern included.
const MAX_TERMS: usize = 2_000;
/// Regular expressions of a rule: each can take a quarter of a mebibyte.
const MAX_REGEXES: usize = 100;

/// What makes an event one that a rule is about.
#[derive(Debug)]
pub(crate) struct Detection {
    selections: Vec<(String, Selection)>,
    condition: Expression,
}

#[derive(Debug)]
enum Selection {
    /// All of them.
    Items(Vec<Item>),
    /// Any of them.
    Lists(Vec<Vec<Item>>),
}

#[derive(Debug)]
enum Expression {
    One(usize),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

impl Detection {
    pub fn new(detection: &Map<String, Value>) -> Result<Self, String> {
        let (mut selections, mut regexes) = (Vec::new(), 0);
        if detection.len() > MAX_SELECTIONS {
            return Err("there are too many selections".to_owned());
        }
        for (name, value) in detection {
            match name.as_str() {
                "condition" => {}
                "timeframe" => {
                    return Err("\"timeframe\" gave way to correlations, and is not known".into());
                }
                _ => {
                    let selection = Selection::new(value);
                    let selection = selection.map_err(|why| format!("{name}: {why}"))?;
                    regexes += selection.items().map(Item::regexes).sum::<usize>();
                    if regexes > MAX_REGEXES {
                        return Err("there are too many regular expressions".to_owned());
                    }
                    selections.push((name.clone(), selection));
                }
            }
        }
        let conditions: Vec<&str> = match detection.get("condition") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => {
                let texts = many.iter().map(|one| one.as_str().ok_or("a condition is a text"));
                texts.collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        let (mut any, mut terms) = (Vec::new(), 0);
        for text in &conditions {
            let names = selections.iter().map(|(name, _)| name.as_str()).collect();
            let mut reader = Reader { words: words(text)?, names, at: 0, depth: 0, terms };
            let read = reader.either().and_then(|read| reader.end(read));
            any.push(read.map_err(|why| format!("condition: {why}"))?);
            terms = reader.terms;
        }
        if any.is_empty() {
            return Err("there is no condition".to_owned());
        }
        Ok(Self { selections, condition: Expression::Or(any) })
    }

    pub fn holds(&self, event: &Value) -> bool {
        self.evaluate(&self.condition, event)
    }

    fn evaluate(&self, expression: &Expression, event: &Value) -> bool {
        match expression {
            Expression::One(place) => {
                self.selections.get(*place).is_some_and(|(_, one)| one.holds(event))
            }
            Expression::Not(inner) => !self.evaluate(inner, event),
            Expression::And(all) => all.iter().all(|one| self.evaluate(one, event)),
            Expression::Or(any) => any.iter().any(|one| self.evaluate(one, event)),
        }
    }
}

impl Selection {
    fn new(value: &Value) -> Result<Self, String> {
        let items = |map: &Map<String, Value>| {
            if map.is_empty() || map.len() > MAX_ITEMS {
                return Err("there is nothing in it, or too much".to_owned());
            }
            map.iter().map(|(key, value)| Item::new(key, value)).collect()
        };
        match value {
            Value::Object(map) => Ok(Self::Items(items(map)?)),
            Value::Array(list) if list.len() > MAX_ITEMS => Err("there is too much in it".into()),
            Value::Array(list) if list.iter().any(Value::is_object) => {
                let each = list.iter().map(|one| match one {
                    Value::Object(map) => items(map),
                    word => Ok(vec![Item::new("", word)?]),
                });
                Ok(Self::Lists(each.collect::<Result<_, _>>()?))
            }
            words => Ok(Self::Items(vec![Item::new("", words)?])),
        }
    }

    fn items(&self) -> impl Iterator<Item = &Item> {
        let (one, many) = match self {
            Self::Items(items) => (items.as_slice(), [].as_slice()),
            Self::Lists(lists) => ([].as_slice(), lists.as_slice()),
        };
        one.iter().chain(many.iter().flatten())
    }

    fn holds(&self, event: &Value) -> bool {
        let all = |items: &Vec<Item>| items.iter().all(|item| item.holds(event));
        match self {
            Self::Items(items) => all(items),
            Self::Lists(lists) => lists.iter().any(all),
        }
    }
}

fn words(text: &str) -> Result<Vec<String>, String> {
    if text.contains('|') {
        return Err("condition: aggregations gave way to correlations, and are not known".into());
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().take(MAX_WORDS + 1).map(str::to_owned).collect();
    if words.len() > MAX_WORDS { Err("condition: it is too long".to_owned()) } else { Ok(words) }
}

struct Reader<'a> {
    words: Vec<String>,
    names: Vec<&'a str>,
    at: usize,
    depth: usize,
    terms: usize,
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", String::as_str)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.peek().eq_ignore_ascii_case(word);
        self.at += usize::from(is);
        is
    }

    fn end(&self, read: Expression) -> Result<Expression, String> {
        match self.peek() {
            "" => Ok(read),
            word => Err(format!("{word:?} is not expected")),
        }
    }

    fn either(&mut self) -> Result<Expression, String> {
        let mut any = vec![self.both()?];
        while self.takes("or") {
            any.push(self.both()?);
        }
        Ok(Expression::Or(any))
    }

    fn both(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.one()?];
        while self.takes("and") {
            all.push(self.one()?);
        }
        Ok(Expression::And(all))
    }

    fn one(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        let read = self.inner();
        self.depth -= 1;
        read
    }

    fn inner(&mut self) -> Result<Expression, String> {
        if self.takes("not") {
            return Ok(Expression::Not(Box::new(self.one()?)));
        }
        if self.takes("(") {
            let inner = self.either()?;
            return if self.takes(")") { Ok(inner) } else { Err("\")\" is missing".into()) };
        }
        let word = self.peek().to_owned();
        self.at += 1;
        if self.takes("of") {
            let which = self.peek().to_owned();
            self.at += 1;
            let chosen = self.chosen(&which)?;
            return match word.to_ascii_lowercase().as_str() {
                "1" | "any" => Ok(Expression::Or(chosen)),
                "all" => Ok(Expression::And(chosen)),
                other => Err(format!("\"{other} of\" is not known; 1, any and all are")),
            };
        }
        match self.names.iter().position(|name| *name == word) {
            Some(place) => Ok(Expression::One(place)),
            None if word.is_empty() => Err("it ends too early".to_owned()),
            None => Err(format!("there is no selection called {word:?}")),
        }
    }

    fn chosen(&mut self, which: &str) -> Result<Vec<Expression>, String> {
        let fits = |name: &str| match which.split_once('*') {
            // Names with an underscore in front are only meant when they are named.
            _ if which == "them" => !name.starts_with('_'),
            Some((before, after)) => {
                name.len() >= before.len() + after.len()
                    && name.starts_with(before)
                    && name.ends_with(after)
            }
            None => name == which,
        };
        let names = self.names.iter().enumerate().filter(|(_, name)| fits(name));
        let chosen: Vec<_> = names.map(|(place, _)| Expression::One(place)).collect();
        if chosen.is_empty() {
            return Err(format!("there is no selection called {which:?}"));
        }
        self.terms += chosen.len();
        if self.terms > MAX_TERMS {
            return Err("it names too many selections".to_owned());
        }
        Ok(chosen)
    }
}
