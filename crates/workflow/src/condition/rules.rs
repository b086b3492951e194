//! Rules as JSON: `{"field": "mrz.age", "op": "greater_or_equals", "value": 18}`, and `all`, `any`, `not` and
//! `cel` around and beside them.

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Budget, Condition, Op, Scope, beside, beside_field, cel, matches, one_of};
use crate::value::Value;

/// Reads a condition.
pub(crate) fn read(json: &Json, scope: &impl Scope) -> Result<Condition, String> {
    part(json, scope, &mut Budget::new(), 0)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    field: String,
    op: String,
    #[serde(default)]
    value: Option<Json>,
}

/// The value of another field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    field: String,
}

fn part(
    json: &Json,
    scope: &impl Scope,
    budget: &mut Budget,
    depth: usize,
) -> Result<Condition, String> {
    budget.take(depth)?;
    let object = json.as_object().ok_or("must be an object")?;
    let only = if object.len() == 1 { object.iter().next() } else { None };
    let mut parts = |json: &Json| -> Result<Vec<Condition>, String> {
        let all = json.as_array().filter(|all| !all.is_empty()).ok_or("needs rules in a list")?;
        all.iter().map(|one| part(one, scope, budget, depth + 1)).collect()
    };
    match only.map(|(name, inner)| (&name[..], inner)) {
        Some(("all", inner)) => parts(inner).map(Condition::All),
        Some(("any", inner)) => parts(inner).map(Condition::Any),
        Some(("not", inner)) => {
            let inner = part(inner, scope, budget, depth + 1)?;
            Ok(Condition::Not(Box::new(inner)))
        }
        Some(("cel", inner)) => {
            let text = inner.as_str().ok_or("cel must be text")?;
            cel::read(text, scope, budget, depth)
        }
        _ => {
            let form = "must be all, any, not, cel, or a rule of field, op and value";
            let rule = Rule::deserialize(json).map_err(|_| form.to_owned())?;
            compare(&rule, scope)
        }
    }
}

fn compare(rule: &Rule, scope: &impl Scope) -> Result<Condition, String> {
    let left = scope.field(&rule.field)?;
    let not = |condition: Condition| Condition::Not(Box::new(condition));
    if let "is_empty" | "is_not_empty" = &rule.op[..] {
        if rule.value.is_some() {
            return Err(format!("{} takes no value", rule.op));
        }
        let empty = Condition::Empty(left.field);
        return Ok(if rule.op == "is_empty" { empty } else { not(empty) });
    }
    let value = rule.value.as_ref().ok_or_else(|| format!("{} needs a value", rule.op))?;
    let op = match &rule.op[..] {
        "equals" => Op::Equals,
        "not_equals" => Op::Differs,
        "less" => Op::Less,
        "less_or_equals" => Op::LessOrEquals,
        "greater" => Op::Greater,
        "greater_or_equals" => Op::GreaterOrEquals,
        "contains" | "not_contains" => Op::Contains,
        "in" => return one_of(left, list(value)?),
        "not_in" => return one_of(left, list(value)?).map(not),
        "matches" => {
            return matches(left, value.as_str().ok_or("a pattern is text")?);
        }
        other => return Err(format!("there is no operator {other}")),
    };
    let compared = if value.is_object() {
        let form = "a value is text, a number, true or false, or {\"field\": …}";
        let other = Other::deserialize(value).map_err(|_| form.to_owned())?;
        beside_field(left, op, scope.field(&other.field)?)?
    } else {
        beside(left, op, literal(value)?)?
    };
    Ok(if rule.op == "not_contains" { not(compared) } else { compared })
}

fn list(value: &Json) -> Result<Vec<Value>, String> {
    value.as_array().ok_or("needs a list")?.iter().map(literal).collect()
}

fn literal(value: &Json) -> Result<Value, String> {
    match value {
        Json::Bool(flag) => Ok(Value::Flag(*flag)),
        Json::String(text) => Ok(Value::Text(text.clone())),
        Json::Number(number) => {
            number.as_f64().map(Value::Number).ok_or_else(|| "is too large a number".to_owned())
        }
        _ => Err("must be text, a number, true or false".to_owned()),
    }
}
