//! A script as scheduler of one connection.

use super::functions::Answer;
use super::view::View;
use super::{Compiled, ScriptError, failure};
use mpuser_engine::addr::SubflowId;
use mpuser_engine::scheduling::{
    Action, Interest, Scheduler, SchedulerEvent, SchedulerView, SubflowSet, SubflowSnapshot,
};
use mpuser_engine::time::{Duration, Instant};
use rhai::{CallFnOptions, Dynamic, FuncArgs, INT, Map, Scope};
use std::fmt;

pub(super) struct Script {
    compiled: Compiled,
    /// What the script remembers: `this`.
    memory: Dynamic,
    fault: Option<ScriptError>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("name", &self.compiled.name).finish_non_exhaustive()
    }
}

impl Script {
    pub(super) fn new(compiled: Compiled) -> Self {
        let mut script = Self { compiled, memory: Dynamic::from(Map::new()), fault: None };
        if script.compiled.wants.init {
            match script.call("init", ()) {
                Ok(memory) => script.memory = memory,
                Err(error) => script.fault = Some(error),
            }
        }
        script
    }

    fn call(&mut self, function: &str, args: impl FuncArgs) -> Result<Dynamic, ScriptError> {
        let Compiled { engine, ast, .. } = &self.compiled;
        let options = CallFnOptions::new().eval_ast(false).bind_this_ptr(&mut self.memory);
        let answer = engine.call_fn_with_options(options, &mut Scope::new(), ast, function, args);
        answer.map_err(|error| failure(&self.compiled, &error))
    }

    fn error(&self, message: String) -> ScriptError {
        ScriptError { file: self.compiled.name.clone(), line: None, message }
    }

    fn ask(&mut self, view: &SchedulerView<'_>) -> Result<Action, ScriptError> {
        let shown = View::new(view, self.compiled.wants);
        let answer = self.call("schedule", (shown,))?;
        let kind = answer.type_name();
        let Some(answer) = answer.try_cast::<Answer>() else {
            let message = format!(
                "schedule() returned {kind}; it has to return send(..), wait() or the like"
            );
            return Err(self.error(message));
        };
        self.translate(view, answer)
    }

    fn translate(&self, view: &SchedulerView<'_>, answer: Answer) -> Result<Action, ScriptError> {
        let later = |ms: f64| view.now + Duration::from_secs_f64((ms / 1e3).clamp(0.0, 1e6));
        let known = |subflow: SubflowId| {
            if view.subflow(subflow).is_some() {
                return Ok(subflow);
            }
            let all: Vec<String> = view.subflows.iter().map(|s| s.id.0.to_string()).collect();
            let all = all.join(", ");
            Err(self.error(format!(
                "schedule() answered with subflow {}, which is not there (there are {all}); take subflows from \
                 view.subflows",
                subflow.0 as i32
            )))
        };
        Ok(match answer {
            Answer::Send(subflow, len) => Action::Send { subflow: known(subflow)?, len },
            Answer::Duplicate(subflow, start, end) => {
                Action::Duplicate { subflow: known(subflow)?, range: start..end }
            }
            Answer::Reinject(subflow, start, end) => {
                Action::Reinject { subflow: known(subflow)?, range: start..end }
            }
            Answer::Penalise(subflow, factor) => {
                Action::Penalise { subflow: known(subflow)?, factor }
            }
            Answer::SetAside(len) => Action::SetAside { len },
            Answer::SetTimer(ms) => Action::SetTimer(later(ms)),
            Answer::Wait => Action::Wait,
            Answer::WaitFor(ms) => Action::WaitUntil(later(ms)),
        })
    }

    /// Asks once with a view made up: two subflows, the first one full.
    pub(super) fn try_out(&mut self) -> Result<(), ScriptError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let subflow = |id: u32, available| SubflowSnapshot {
            id: SubflowId(id),
            set: SubflowSet::of(SubflowId(id)),
            srtt: Some(Duration::from_millis(20 + u64::from(id) * 30)),
            cwnd: 14_000,
            ssthresh: u64::MAX,
            in_flight: 14_000 - available,
            available,
            queue_room: 28_000,
            mss: 1_400,
            pacing_rate: 1_000_000,
            ..SubflowSnapshot::default()
        };
        let subflows = [subflow(0, 0), subflow(1, 14_000)];
        let view = SchedulerView {
            now: Instant::from_millis(1_000),
            subflows: &subflows,
            unsent: 100_000,
            window: 100_000,
            una: 0,
            nxt: 14_000,
            window_end: 114_000,
            send_buffer: 1 << 20,
            queues: &(),
        };
        self.ask(&view)?;
        self.tell(&view, SchedulerEvent::Timer)
    }

    fn tell(&mut self, view: &SchedulerView<'_>, event: SchedulerEvent) -> Result<(), ScriptError> {
        if !self.compiled.wants.events {
            return Ok(());
        }
        let shown = View::new(view, self.compiled.wants);
        self.call("on_event", (shown, described(event))).map(drop)
    }
}

/// An event as a map: `kind`, and `subflow`, `bytes` or `una` where it has them.
fn described(event: SchedulerEvent) -> Map {
    let (kind, subflow, amount) = match event {
        SchedulerEvent::Ack { subflow, bytes } => ("ack", Some(subflow), Some(("bytes", bytes))),
        SchedulerEvent::DataAck { una } => ("data_ack", None, Some(("una", una))),
        SchedulerEvent::Loss(subflow) => ("loss", Some(subflow), None),
        SchedulerEvent::RetransmissionTimeout(subflow) => ("timeout", Some(subflow), None),
        SchedulerEvent::WindowClosed => ("window_closed", None, None),
        SchedulerEvent::Written(bytes) => ("written", None, Some(("bytes", bytes))),
        SchedulerEvent::PathAdded(subflow) => ("path_added", Some(subflow), None),
        SchedulerEvent::PathRemoved(subflow) => ("path_removed", Some(subflow), None),
        SchedulerEvent::PathChanged(subflow) => ("path_changed", Some(subflow), None),
        SchedulerEvent::ReceiveBufferRetransmission(subflow) => {
            ("receive_buffer_retransmission", Some(subflow), None)
        }
        SchedulerEvent::Timer => ("timer", None, None),
        _ => ("other", None, None),
    };
    let mut map = Map::new();
    map.insert("kind".into(), kind.into());
    if let Some(subflow) = subflow {
        map.insert("subflow".into(), INT::from(subflow.0).into());
    }
    if let Some((name, amount)) = amount {
        map.insert(name.into(), INT::try_from(amount).unwrap_or(INT::MAX).into());
    }
    map
}

impl Scheduler for Script {
    fn name(&self) -> &str {
        &self.compiled.name
    }

    fn interest(&self) -> Interest {
        let wants = self.compiled.wants;
        Interest {
            in_flight: wants.in_flight || wants.missing,
            events: wants.events,
            reinjections: wants.reinjections,
        }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        if self.fault.is_some() {
            return Action::Wait;
        }
        self.ask(view).unwrap_or_else(|error| {
            self.fault = Some(error);
            Action::Wait
        })
    }

    fn on_event(&mut self, view: &SchedulerView<'_>, event: SchedulerEvent) {
        if self.fault.is_none()
            && let Err(error) = self.tell(view, event)
        {
            self.fault = Some(error);
        }
    }

    fn take_fault(&mut self) -> Option<String> {
        self.fault.take().map(|error| error.to_string())
    }
}
