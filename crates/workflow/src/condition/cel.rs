//! Expressions of the Common Expression Language, as far as they are conditions on fields: `&& || !`, the six
//! comparisons, `in` a list, `size`, `contains`, `startsWith`, `endsWith`, `matches`.
//!
//! Arithmetic, macros and conversions are refused: what cannot be typed here cannot be checked before
//! somebody depends on it.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue, operators},
    parser::Parser,
};

use super::{
    Budget, Condition, DEPTH_MAX, Op, Scope, Typed, beside, beside_field, matches, misfit, one_of,
    show,
};
use crate::value::{Kind, Value};

/// Bytes of an expression.
pub const CEL_MAX_BYTES: usize = 1_000;

/// What a part of an expression is.
enum Term {
    Field(Typed),
    Value(Value),
    Size(Typed),
}

/// Reads an expression.
pub(super) fn read(
    text: &str,
    scope: &impl Scope,
    budget: &mut Budget,
    depth: usize,
) -> Result<Condition, String> {
    if text.len() > CEL_MAX_BYTES {
        return Err(format!("an expression has at most {CEL_MAX_BYTES} bytes"));
    }
    nesting(text)?;
    let parsed = Parser::new()
        .max_recursion_depth(u16::try_from(4 * DEPTH_MAX).unwrap_or(64))
        .error_recovery_limit(1)
        .parse(text)
        .map_err(|why| {
            let first = why.to_string().lines().next().unwrap_or_default().to_owned();
            format!("is no expression: {first}")
        })?;
    Reader { scope, budget }.condition(&parsed, depth)
}

/// Refuses what is nested so deep that parsing it needs much of the stack.
fn nesting(text: &str) -> Result<(), String> {
    let mut open: usize = 0;
    let mut run = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        run = if matches!(byte, b'!' | b'-' | b' ') { run + 1 } else { 0 };
        if open > DEPTH_MAX || run > 2 * DEPTH_MAX {
            return Err(format!("may be at most {DEPTH_MAX} levels deep"));
        }
    }
    Ok(())
}

struct Reader<'a, S> {
    scope: &'a S,
    budget: &'a mut Budget,
}

impl<S: Scope> Reader<'_, S> {
    fn condition(&mut self, expr: &IdedExpr, depth: usize) -> Result<Condition, String> {
        self.budget.take(depth)?;
        match &expr.expr {
            Expr::Literal(LiteralValue::Boolean(holds)) => Ok(Condition::Constant(*holds.inner())),
            Expr::Select(_) | Expr::Ident(_) => {
                let field = self.field(&expr.expr)?;
                if field.kind != Kind::Flag {
                    return Err(format!("{} is not true or false", show(&field.field)));
                }
                Ok(Condition::Flag(field.field))
            }
            Expr::Call(call) => self.call(call, depth),
            _ => Err(UNKNOWN.to_owned()),
        }
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Result<Condition, String> {
        let (name, args) = (&call.func_name[..], &call.args[..]);
        match (name, call.target.as_deref(), args) {
            (operators::LOGICAL_AND, None, args) => Ok(Condition::All(self.all(args, depth)?)),
            (operators::LOGICAL_OR, None, args) => Ok(Condition::Any(self.all(args, depth)?)),
            (operators::LOGICAL_NOT, None, [one]) => {
                Ok(Condition::Not(Box::new(self.condition(one, depth + 1)?)))
            }
            (operators::IN, None, [one, other]) => self.contained(one, other, depth),
            ("contains", Some(one), [other]) => self.compare(one, Op::Contains, other, depth),
            ("startsWith", Some(one), [other]) => self.compare(one, Op::Starts, other, depth),
            ("endsWith", Some(one), [other]) => self.compare(one, Op::Ends, other, depth),
            ("matches", Some(one), [other]) => {
                match (self.term(one, depth + 1)?, self.term(other, depth + 1)?) {
                    (Term::Field(field), Term::Value(Value::Text(text))) => matches(field, &text),
                    _ => Err("matches needs a field and a text".to_owned()),
                }
            }
            (name, None, [one, other]) => {
                let op = match name {
                    operators::EQUALS => Op::Equals,
                    operators::NOT_EQUALS => Op::Differs,
                    operators::LESS => Op::Less,
                    operators::LESS_EQUALS => Op::LessOrEquals,
                    operators::GREATER => Op::Greater,
                    operators::GREATER_EQUALS => Op::GreaterOrEquals,
                    _ => return Err(UNKNOWN.to_owned()),
                };
                self.compare(one, op, other, depth)
            }
            _ => Err(UNKNOWN.to_owned()),
        }
    }

    fn all(&mut self, args: &[IdedExpr], depth: usize) -> Result<Vec<Condition>, String> {
        args.iter().map(|arg| self.condition(arg, depth + 1)).collect()
    }

    fn compare(
        &mut self,
        one: &IdedExpr,
        op: Op,
        other: &IdedExpr,
        depth: usize,
    ) -> Result<Condition, String> {
        let turned = || op.turned().ok_or_else(|| "the field comes first".to_owned());
        match (self.term(one, depth + 1)?, self.term(other, depth + 1)?) {
            (Term::Field(field), Term::Value(value)) => beside(field, op, value),
            (Term::Value(value), Term::Field(field)) => beside(field, turned()?, value),
            (Term::Field(field), Term::Field(other)) => beside_field(field, op, other),
            (Term::Size(field), Term::Value(Value::Number(number))) => size(field, op, number),
            (Term::Value(Value::Number(number)), Term::Size(field)) => {
                size(field, turned()?, number)
            }
            _ => Err("a comparison is about a field".to_owned()),
        }
    }

    fn contained(
        &mut self,
        one: &IdedExpr,
        other: &IdedExpr,
        depth: usize,
    ) -> Result<Condition, String> {
        if let Expr::List(list) = &other.expr {
            let mut values = Vec::new();
            for element in &list.elements {
                match self.term(element, depth + 1)? {
                    Term::Value(value) => values.push(value),
                    _ => return Err("a list has values in it".to_owned()),
                }
            }
            return match self.term(one, depth + 1)? {
                Term::Field(field) => one_of(field, values),
                _ => Err("in needs a field and a list".to_owned()),
            };
        }
        // `'x' in codes`
        match (self.term(one, depth + 1)?, self.term(other, depth + 1)?) {
            (Term::Value(value), Term::Field(field)) if field.kind == Kind::Texts => {
                beside(field, Op::Contains, value)
            }
            _ => Err("in needs a field and a list".to_owned()),
        }
    }

    fn term(&mut self, expr: &IdedExpr, depth: usize) -> Result<Term, String> {
        self.budget.take(depth)?;
        match &expr.expr {
            Expr::Select(_) | Expr::Ident(_) => self.field(&expr.expr).map(Term::Field),
            Expr::Literal(value) => literal(value).map(Term::Value),
            Expr::Call(call) if call.func_name == "size" => {
                let of = match (call.target.as_deref(), &call.args[..]) {
                    (Some(target), []) => target,
                    (None, [arg]) => arg,
                    _ => return Err(UNKNOWN.to_owned()),
                };
                self.field(&of.expr).map(Term::Size)
            }
            Expr::Call(call) if call.func_name == operators::NEGATE => match &call.args[..] {
                [IdedExpr { expr: Expr::Literal(value), .. }] => match literal(value)? {
                    Value::Number(number) => Ok(Term::Value(Value::Number(-number))),
                    _ => Err(UNKNOWN.to_owned()),
                },
                _ => Err(UNKNOWN.to_owned()),
            },
            _ => Err(UNKNOWN.to_owned()),
        }
    }

    fn field(&self, expr: &Expr) -> Result<Typed, String> {
        let name = |expr: &Expr| match expr {
            Expr::Ident(name) => Some(name.clone()),
            _ => None,
        };
        match expr {
            Expr::Select(select) if !select.test => {
                let node = name(&select.operand.expr).ok_or(UNKNOWN)?;
                self.scope.field(&format!("{node}.{}", select.field))
            }
            Expr::Ident(name) => Err(format!("{name} is no field: they are called node.field")),
            _ => Err(UNKNOWN.to_owned()),
        }
    }
}

fn size(field: Typed, op: Op, number: f64) -> Result<Condition, String> {
    let has_size = matches!(field.kind, Kind::Text | Kind::Texts);
    if !has_size || op.is_part() {
        return Err(misfit(&field));
    }
    Ok(Condition::Size(field.field, op, number))
}

fn literal(value: &LiteralValue) -> Result<Value, String> {
    #[expect(clippy::cast_precision_loss, reason = "fields hold no numbers that large")]
    match value {
        LiteralValue::Boolean(flag) => Ok(Value::Flag(*flag.inner())),
        LiteralValue::Int(number) => Ok(Value::Number(*number.inner() as f64)),
        LiteralValue::UInt(number) => Ok(Value::Number(*number.inner() as f64)),
        LiteralValue::Double(number) if number.inner().is_finite() => {
            Ok(Value::Number(*number.inner()))
        }
        LiteralValue::String(text) => Ok(Value::Text(text.inner().to_owned())),
        _ => Err(UNKNOWN.to_owned()),
    }
}

const UNKNOWN: &str = "only fields, values, && || !, comparisons, in, size, contains, startsWith, endsWith \
                       and matches can be used";
