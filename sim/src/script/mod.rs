//! Schedulers as scripts: `--sched my.rhai`, without compiling anything. What a script sees and may call is on one page,
//! `sim/data/schedulers/README.md`.
//!
//! A script has no files, no network and no clock, and its operations are counted: one that does not come to an end is
//! stopped, and the connection goes on with `minrtt`.

mod functions;
mod scheduler;
mod view;

use mpuser_engine::config::SchedulerSpec;
use mpuser_engine::scheduling::{Scheduler, SchedulerFactory};
use rhai::packages::{Package as _, StandardPackage};
use rhai::{AST, Engine, EvalAltResult, Position};
use scheduler::Script;
use std::fmt;
use std::sync::Arc;

/// Operations of one call: some hundred times what the examples need.
const MAX_OPERATIONS: u64 = 50_000;
/// Longest array or map, nested ones counted, and so what a script can remember.
const MAX_SIZE: usize = 4_096;

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The script's name.
    pub file: String,
    /// Line, from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ScriptError {}

/// A script that was understood; makes a scheduler for each connection.
#[derive(Clone)]
struct Compiled {
    name: String,
    engine: Arc<Engine>,
    ast: Arc<AST>,
    wants: Wants,
    /// Line of the first loop with an empty body: the interpreter has no place for a stop inside it.
    idle_loop: Option<usize>,
}

/// What a script looks at; the rest is not made for it.
#[derive(Clone, Copy, Debug)]
struct Wants {
    init: bool,
    events: bool,
    in_flight: bool,
    missing: bool,
    reinjections: bool,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SchedulerFactory for Compiled {
    fn name(&self) -> &str {
        &self.name
    }

    fn build(&self) -> Box<dyn Scheduler> {
        Box::new(Script::new(self.clone()))
    }
}

/// The scheduler that the script `text` is; `file` names it in messages.
///
/// Beside being parsed it is asked once, with a view made up of two subflows: a misspelt name or a loop without end shows
/// at once.
///
/// # Errors
///
/// Names the line, what is wrong there, and the remedy.
pub fn compile(file: &str, text: &str) -> Result<SchedulerSpec, ScriptError> {
    let engine = limited_engine();
    let ast = engine.compile(text).map_err(|error| {
        let message = error.err_type().to_string();
        ScriptError { file: file.to_owned(), line: error.position().line(), message }
    })?;
    let has = |name: &str, count: usize| {
        ast.iter_functions().any(|f| f.name == name && f.params.len() == count)
    };
    if !has("schedule", 1) {
        let message =
            "there is no function `schedule(view)`; it has to return send(..), wait() or the like";
        return Err(ScriptError { file: file.to_owned(), line: None, message: message.to_owned() });
    }
    let wants = Wants {
        init: has("init", 0),
        events: has("on_event", 2),
        in_flight: text.contains("in_flight_ranges") || text.contains("duplicate"),
        missing: text.contains("missing"),
        reinjections: text.contains("reinject"),
    };
    let compiled = Compiled {
        name: file.to_owned(),
        engine: Arc::new(engine),
        ast: Arc::new(ast),
        wants,
        idle_loop: idle_loop(text),
    };
    Script::new(compiled.clone()).try_out()?;
    Ok(SchedulerSpec::custom(Arc::new(compiled)))
}

fn limited_engine() -> Engine {
    let mut engine = Engine::new_raw();
    StandardPackage::new().register_into_engine(&mut engine);
    engine
        .set_max_operations(MAX_OPERATIONS)
        .set_max_call_levels(16)
        .set_max_expr_depths(64, 32)
        .set_max_string_size(1_024)
        .set_max_array_size(MAX_SIZE)
        .set_max_map_size(MAX_SIZE)
        .disable_symbol("eval")
        .on_print(|_| {})
        .on_debug(|_, _, _| {});
    view::register(&mut engine);
    functions::register(&mut engine);
    engine
}

/// Line, from 1, of the first `{ }` after `loop` or `while`.
fn idle_loop(text: &str) -> Option<usize> {
    let at =
        ["loop", "while"].iter().flat_map(|word| text.match_indices(word)).filter(|(at, _)| {
            let body = text[*at..].split_once('{').map_or("", |(_, body)| body);
            body.trim_start().starts_with('}')
        });
    let first = at.map(|(at, _)| at).min()?;
    Some(text[..first].matches('\n').count() + 1)
}

/// What went wrong while `script` ran.
fn failure(script: &Compiled, error: &EvalAltResult) -> ScriptError {
    let inner = error.unwrap_inner();
    let at = if inner.position() == Position::NONE { error.position() } else { inner.position() };
    let message = match inner {
        EvalAltResult::ErrorTooManyOperations(_) => format!(
            "stopped after {MAX_OPERATIONS} operations: a loop without end? A call has to come to an answer"
        ),
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            format!(
                "{what} too large: a script keeps at most {MAX_SIZE} values; keep sums, or drop old ones"
            )
        }
        other => {
            // the position stands before the message already
            let mut plain = other.to_string();
            if let Some(cut) = plain.rfind(" (line ") {
                plain.truncate(cut);
            }
            plain
        }
    };
    let line = match inner {
        EvalAltResult::ErrorTooManyOperations(_) => at.line().or(script.idle_loop),
        _ => at.line(),
    };
    ScriptError { file: script.name.clone(), line, message }
}

#[cfg(test)]
mod tests;
