//! Whether an expression can be evaluated, found out before it has to be.

use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Env, ExecutionError, Program, Value};

use super::fields::{Fields, Side, VARIABLES};

/// A field that an expression needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) side: Side,
    pub(super) field: usize,
}

/// Compiles an expression and checks every name in it, and that it is true or false.
///
/// CEL is typed as it runs, and what stands behind a `&&` may not run. So every condition that `&&`, `||`,
/// `!` and `? :` join is tried by itself on example data.
pub(super) fn compile(
    env: &Arc<Env>,
    text: &str,
    fields: &Fields,
    example: &Context<'_, '_>,
) -> Result<(Program, Vec<Reference>), String> {
    let program = env.compile(text).map_err(|errors| {
        // The first error is the cause, the others follow from it.
        errors.errors.first().map_or_else(
            || "is no expression".to_owned(),
            |error| {
                format!(
                    "is no expression, from character {} on: {}",
                    error.pos.1, error.msg
                )
            },
        )
    })?;
    let mut names = Names {
        fields,
        bound: Vec::new(),
        needed: Vec::new(),
        asked: Vec::new(),
    };
    names.walk(program.expression())?;
    let Names {
        mut needed, asked, ..
    } = names;
    needed.retain(|reference| !asked.contains(reference));
    try_conditions(program.expression(), example)?;
    Ok((program, needed))
}

/// Walks an expression and resolves its names.
struct Names<'a> {
    fields: &'a Fields,
    /// Variables that macros such as `exists` bind.
    bound: Vec<String>,
    needed: Vec<Reference>,
    /// Those that the expression asks for with `has`.
    asked: Vec<Reference>,
}

impl Names<'_> {
    fn walk(&mut self, node: &IdedExpr) -> Result<(), String> {
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => match self.side(&select.operand) {
                Some(side) => self.field(side, &select.field, select.test),
                None => self.walk(&select.operand),
            },
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.elements.iter().try_for_each(|item| self.walk(item)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.walk(&entry.key)?;
                    self.walk(&entry.value)
                }
                EntryExpr::StructField(field) => self.walk(&field.value),
            }),
            Expr::Comprehension(loops) => {
                self.walk(&loops.iter_range)?;
                self.walk(&loops.accu_init)?;
                let before = self.bound.len();
                self.bound.push(loops.iter_var.clone());
                self.bound.extend(loops.iter_var2.clone());
                self.bound.push(loops.accu_var.clone());
                for part in [&loops.loop_cond, &loops.loop_step, &loops.result] {
                    self.walk(part)?;
                }
                self.bound.truncate(before);
                Ok(())
            }
            Expr::Struct(_) | Expr::Unspecified => {
                Err("makes a message, which rules have no use for".to_owned())
            }
        }
    }

    fn call(&mut self, call: &CallExpr) -> Result<(), String> {
        if call.func_name == operators::INDEX
            && let [whole, index] = call.args.as_slice()
            && let Some(side) = self.side(whole)
        {
            return match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => self.field(side, name.inner(), false),
                _ => Err(format!(
                    "write the name of a field in quotes: {side}[\"…\"]"
                )),
            };
        }
        for part in call.target.as_deref().into_iter().chain(&call.args) {
            self.walk(part)?;
        }
        Ok(())
    }

    /// The side that a node names, unless a macro has bound its name to something else.
    fn side(&self, node: &IdedExpr) -> Option<Side> {
        match &node.expr {
            Expr::Ident(name) if !self.bound.contains(name) => Side::named(name),
            _ => None,
        }
    }

    fn variable(&self, name: &str) -> Result<(), String> {
        if self.bound.iter().any(|bound| bound == name) || VARIABLES.contains(&name) {
            return Ok(());
        }
        if let Some(side) = Side::named(name) {
            return Err(format!(
                "`{side}` by itself is not a number; write {side}.NAME with one of {}",
                self.fields.names()
            ));
        }
        Err(format!(
            "`{name}` is not known; there are canary.NAME, stable.NAME, {}",
            VARIABLES.join(", ")
        ))
    }

    fn field(&mut self, side: Side, name: &str, asked: bool) -> Result<(), String> {
        let field = self.fields.position(name).ok_or_else(|| {
            format!(
                "`{side}.{name}` is not known; there are {}",
                self.fields.names()
            )
        })?;
        let list = if asked {
            &mut self.asked
        } else {
            &mut self.needed
        };
        list.push(Reference { side, field });
        Ok(())
    }
}

/// Tries every condition by itself.
fn try_conditions(node: &IdedExpr, example: &Context<'_, '_>) -> Result<(), String> {
    if let Expr::Call(call) = &node.expr
        && [
            operators::LOGICAL_AND,
            operators::LOGICAL_OR,
            operators::LOGICAL_NOT,
            operators::CONDITIONAL,
        ]
        .contains(&call.func_name.as_str())
    {
        let mut parts = call.target.as_deref().into_iter().chain(&call.args);
        return parts.try_for_each(|part| try_conditions(part, example));
    }
    match Value::resolve(node, example) {
        Ok(Value::Bool(_)) => Ok(()),
        Ok(value) => Err(format!(
            "is {}, not true or false; compare it with something",
            kind(&value)
        )),
        // These depend on the numbers, and the example's are not the real ones.
        Err(
            ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::IndexOutOfBounds(_),
        ) => Ok(()),
        Err(ExecutionError::UnsupportedBinaryOperator(_, left, right)) => Err(format!(
            "calculates with {} and {}; write numbers that are not counts with a point, such as 2.0, and \
             make counts double: double(canary.requests)",
            kind(&left),
            kind(&right)
        )),
        Err(ExecutionError::UndeclaredReference(name)) => {
            Err(format!("`{name}` is not a function that rules know"))
        }
        Err(error) => Err(format!("cannot be evaluated: {error}")),
    }
}

/// What kind of value it is, in words.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Int(_) | Value::UInt(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::String(_) | Value::Bytes(_) => "a text",
        Value::Bool(_) => "a truth value",
        _ => "not a number",
    }
}
