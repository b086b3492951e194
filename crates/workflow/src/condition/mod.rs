//! Conditions: rules as JSON and expressions in CEL, read into one typed tree.
//!
//! A condition is true, false or unknown: unknown is what a field says that a check could not tell, and it
//! stays so through `not`, so that nothing follows from what is not known. Only what is true counts.

mod cel;
mod rules;

use std::{cmp::Ordering, collections::BTreeSet};

use regex::{Regex, RegexBuilder};

use crate::value::{Kind, Value};

pub use cel::CEL_MAX_BYTES;
pub(crate) use rules::read;

/// Nodes of the tree of one condition.
const TREE_MAX: usize = 200;
/// How deep it may be.
const DEPTH_MAX: usize = 8;
/// Bytes of a pattern.
const PATTERN_MAX_BYTES: usize = 200;
/// Bytes of a compiled pattern.
const PATTERN_MAX_SIZE: usize = 64 * 1024;
/// Bytes of a text that something is compared with.
const TEXT_MAX_BYTES: usize = 500;
/// Texts of a list.
const LIST_MAX: usize = 500;

/// A field of a check or of the session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// The node whose check tells it; `None` for the session.
    pub node: Option<String>,
    /// What it is called there.
    pub name: &'static str,
}

/// A field with what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub field: Field,
    pub kind: Kind,
}

/// Which fields there are.
pub(crate) trait Scope {
    /// A field by its name, or why it cannot be used.
    fn field(&self, name: &str) -> Result<Typed, String>;
}

/// A condition whose fields exist and whose comparisons mean something.
#[derive(Debug, Clone)]
pub enum Condition {
    /// All of these.
    All(Vec<Condition>),
    /// One of these.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// Always or never.
    Constant(bool),
    /// A field that is yes.
    Flag(Field),
    /// A field beside a value or another field.
    Compare(Field, Op, Operand),
    /// A field that is one of these.
    In(Field, Vec<Value>),
    /// A field that says nothing.
    Empty(Field),
    /// A field of this form.
    Matches(Field, Pattern),
    /// How many texts or characters a field has.
    Size(Field, Op, f64),
}

/// What something is compared with.
#[derive(Debug, Clone)]
pub enum Operand {
    /// A value.
    Value(Value),
    /// What another field says.
    Field(Field),
}

/// How two things are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// They are the same.
    Equals,
    /// They are not.
    Differs,
    /// The first is less.
    Less,
    /// Or the same.
    LessOrEquals,
    /// The first is more.
    Greater,
    /// Or the same.
    GreaterOrEquals,
    /// The first has the second in it.
    Contains,
    /// The first begins with the second.
    Starts,
    /// The first ends with the second.
    Ends,
}

/// A regular expression that takes linear time.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Op {
    /// The same with both sides changed.
    fn turned(self) -> Option<Self> {
        Some(match self {
            Self::Equals | Self::Differs => self,
            Self::Less => Self::Greater,
            Self::LessOrEquals => Self::GreaterOrEquals,
            Self::Greater => Self::Less,
            Self::GreaterOrEquals => Self::LessOrEquals,
            Self::Contains | Self::Starts | Self::Ends => return None,
        })
    }

    fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEquals | Self::Greater | Self::GreaterOrEquals)
    }

    fn is_part(self) -> bool {
        matches!(self, Self::Contains | Self::Starts | Self::Ends)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::Differs => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEquals => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEquals => order.is_ge(),
            Self::Contains | Self::Starts | Self::Ends => false,
        }
    }
}

impl Condition {
    /// Whether it is so; `None` if that is not known.
    pub fn holds<'a>(&self, tell: &impl Fn(&Field) -> Option<&'a Value>) -> Option<bool> {
        match self {
            Self::All(parts) => every(parts.iter().map(|part| part.holds(tell)), true),
            Self::Any(parts) => every(parts.iter().map(|part| part.holds(tell)), false),
            Self::Not(part) => part.holds(tell).map(|holds| !holds),
            Self::Constant(holds) => Some(*holds),
            Self::Flag(field) => match tell(field)? {
                Value::Flag(flag) => Some(*flag),
                _ => None,
            },
            Self::Compare(field, op, operand) => {
                let other = match operand {
                    Operand::Value(value) => value,
                    Operand::Field(field) => tell(field)?,
                };
                compare(tell(field)?, *op, other)
            }
            Self::In(field, values) => {
                let value = tell(field)?;
                let same = |one: &Value| compare(value, Op::Equals, one) == Some(true);
                Some(values.iter().any(same))
            }
            Self::Empty(field) => Some(match tell(field) {
                None => true,
                Some(Value::Text(text)) => text.is_empty(),
                Some(Value::Texts(texts)) => texts.is_empty(),
                Some(Value::Flag(_) | Value::Number(_)) => false,
            }),
            Self::Matches(field, pattern) => match tell(field)? {
                Value::Text(text) => Some(pattern.0.is_match(text)),
                Value::Texts(texts) => Some(texts.iter().any(|text| pattern.0.is_match(text))),
                _ => None,
            },
            Self::Size(field, op, number) => {
                let size = match tell(field)? {
                    Value::Text(text) => text.chars().count(),
                    Value::Texts(texts) => texts.len(),
                    _ => return None,
                };
                let size = u32::try_from(size).map_or(f64::MAX, f64::from);
                Some(op.holds(size.partial_cmp(number)?))
            }
        }
    }

    /// The fields that it looks at.
    pub fn fields(&self) -> BTreeSet<&Field> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::fields).collect(),
            Self::Not(part) => part.fields(),
            Self::Constant(_) => BTreeSet::new(),
            Self::Compare(field, _, Operand::Field(other)) => BTreeSet::from([field, other]),
            Self::Flag(field)
            | Self::Compare(field, ..)
            | Self::In(field, _)
            | Self::Empty(field)
            | Self::Matches(field, _)
            | Self::Size(field, ..) => BTreeSet::from([field]),
        }
    }
}

/// All of them, or one: what one of them decides is so, whatever is not known of the others.
fn every(parts: impl Iterator<Item = Option<bool>>, all: bool) -> Option<bool> {
    let mut known = true;
    for part in parts {
        match part {
            Some(holds) if holds != all => return Some(!all),
            Some(_) => {}
            None => known = false,
        }
    }
    known.then_some(all)
}

fn compare(one: &Value, op: Op, other: &Value) -> Option<bool> {
    match (one, op, other) {
        (Value::Texts(texts), Op::Contains, Value::Text(text)) => Some(texts.contains(text)),
        (Value::Text(one), Op::Contains, Value::Text(other)) => Some(one.contains(other.as_str())),
        (Value::Text(one), Op::Starts, Value::Text(other)) => Some(one.starts_with(other.as_str())),
        (Value::Text(one), Op::Ends, Value::Text(other)) => Some(one.ends_with(other.as_str())),
        _ => one.order(other).map(|order| op.holds(order)),
    }
}

/// How many nodes and levels of a tree are left.
struct Budget {
    nodes: usize,
}

impl Budget {
    fn new() -> Self {
        Self { nodes: TREE_MAX }
    }

    fn take(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("may be at most {DEPTH_MAX} levels deep"));
        }
        self.nodes = self
            .nodes
            .checked_sub(1)
            .ok_or_else(|| format!("may have at most {TREE_MAX} parts"))?;
        Ok(())
    }
}

/// A field beside a value, if that means something.
fn beside(left: Typed, op: Op, value: Value) -> Result<Condition, String> {
    fits(&left, op)?;
    let text = matches!(value, Value::Text(_));
    if !(left.kind.takes(&value) || op.is_part() && text) {
        return Err(misfit(&left));
    }
    long(&value)?;
    Ok(Condition::Compare(left.field, op, Operand::Value(value)))
}

/// A field beside another.
fn beside_field(left: Typed, op: Op, right: Typed) -> Result<Condition, String> {
    fits(&left, op)?;
    let right_fits = match op {
        _ if op.is_part() => matches!(right.kind, Kind::Text | Kind::Choice(_)),
        _ => left.kind.compares(right.kind) && left.kind != Kind::Texts,
    };
    if !right_fits {
        return Err(format!("{} and {} cannot be compared", show(&left.field), show(&right.field)));
    }
    Ok(Condition::Compare(left.field, op, Operand::Field(right.field)))
}

fn one_of(left: Typed, values: Vec<Value>) -> Result<Condition, String> {
    if values.is_empty() || values.len() > LIST_MAX {
        return Err(format!("a list has 1 to {LIST_MAX} values"));
    }
    if left.kind == Kind::Texts || !values.iter().all(|value| left.kind.takes(value)) {
        return Err(misfit(&left));
    }
    values.iter().try_for_each(long)?;
    Ok(Condition::In(left.field, values))
}

fn matches(left: Typed, pattern: &str) -> Result<Condition, String> {
    if !matches!(left.kind, Kind::Text | Kind::Texts | Kind::Choice(_) | Kind::Day) {
        return Err(misfit(&left));
    }
    if pattern.len() > PATTERN_MAX_BYTES {
        return Err(format!("a pattern has at most {PATTERN_MAX_BYTES} bytes"));
    }
    let regex = RegexBuilder::new(pattern)
        .size_limit(PATTERN_MAX_SIZE)
        .dfa_size_limit(PATTERN_MAX_SIZE)
        .build()
        .map_err(|_| "is no regular expression, or too large a one".to_owned())?;
    Ok(Condition::Matches(left.field, Pattern(regex)))
}

fn fits(left: &Typed, op: Op) -> Result<(), String> {
    let fits = match op {
        _ if op.is_order() => left.kind.is_ordered(),
        Op::Contains => matches!(left.kind, Kind::Text | Kind::Texts | Kind::Choice(_)),
        Op::Starts | Op::Ends => matches!(left.kind, Kind::Text | Kind::Choice(_)),
        _ => left.kind != Kind::Texts,
    };
    if fits { Ok(()) } else { Err(misfit(left)) }
}

fn misfit(left: &Typed) -> String {
    let field = show(&left.field);
    match left.kind {
        Kind::Choice(all) => format!("{field} is one of {}", all.join(", ")),
        kind => format!("{field} is a {}, which cannot be compared so", kind.as_str()),
    }
}

fn long(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) if text.len() > TEXT_MAX_BYTES => {
            Err(format!("a text has at most {TEXT_MAX_BYTES} bytes"))
        }
        _ => Ok(()),
    }
}

fn show(field: &Field) -> String {
    format!("{}.{}", field.node.as_deref().unwrap_or("session"), field.name)
}
