//! `mpuser script`: scenarios against the engine, this machine's kernel, or a host.

use super::args::Script as Args;
use super::live::{Live, on_wire};
use super::trace::Tracer;
use super::{misread, put, write};
use crate::address::{parse_target, resolve};
use crate::conform::kernel::KernelTarget;
use crate::error::{Code, Failure};
use crate::output::Printer;
use mpuser_craft::Wire as _;
use mpuser_craft::script::{Outcome, Places, Script, Stage, parse, run as play};
use mpuser_engine::addr::SocketAddr;
use mpuser_sim::conform::target::AppError;
use mpuser_sim::conform::{EngineTarget, Target};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// What our keys and numbers are drawn from where every run is to be the same.
const SEED: [u8; 32] = [9; 32];

/// Runs the command.
pub(crate) fn run(args: &Args, printer: Printer) -> Result<ExitCode, Failure> {
    let mut passed = true;
    let mut log = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let text = contents(file)?;
        let script = parse(&text)
            .map_err(|error| misread(&format!("the script {name}"), &text, &error, printer))?;
        let mut outcome = against(args, &script, printer)?;
        passed &= outcome.problem.is_none();
        if args.pcap.as_deref().is_none_or(|pcap| pcap.as_os_str() != "-") {
            put(&report(&name, &outcome, printer))?;
        }
        log.append(&mut outcome.log);
    }
    if let Some(file) = &args.pcap {
        write(file, &log)?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(Code::Check.exit()) })
}

fn contents(file: &Path) -> Result<String, Failure> {
    let unreadable = |error| Failure::io(format!("cannot read {}", file.display()), &error);
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file).map_err(unreadable);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Runs a script against what was asked for.
fn against(args: &Args, script: &Script, printer: Printer) -> Result<Outcome, Failure> {
    match args.target.as_str() {
        "engine" => {
            let mut target = EngineTarget::with_profile(&script.setup, args.profile);
            on_stage(script, &mut target, &Places::of(&script.setup), SEED)
        }
        // the thread moves into a namespace, and ends with it
        "kernel" => std::thread::scope(|scope| {
            let on_kernel = || {
                let mut target = KernelTarget::enter(&script.setup)?;
                on_stage(script, &mut target, &Places::of(&script.setup), SEED)
            };
            let ended = scope.spawn(on_kernel).join();
            ended.unwrap_or_else(|_| {
                Err(Failure::internal("the kernel's thread died", "it panicked"))
            })
        }),
        host => {
            if needs_application(script) {
                return Err(Failure::usage(
                    format!("the script cannot run against {host}"),
                    "it says what the application on the stack under test does, and that is on another machine",
                    "leave out the app steps (app accept may stay), or use --target engine or kernel",
                ));
            }
            let remotes = resolve(&parse_target(&[host.to_owned()])?)?;
            on_wire(&remotes, &args.path, None, printer, |live, remote| {
                let seed =
                    mpuser_tun::system_seed().map_err(|e| Failure::io("no randomness", &e))?;
                let (theirs, port) = (vec![remote.ip()], remote.port());
                let places = Places { ours: live.addresses(), theirs, port };
                on_stage(script, &mut Remote(live), &places, seed)
            })
        }
    }
}

fn on_stage(
    script: &Script,
    target: &mut dyn Target,
    places: &Places,
    seed: [u8; 32],
) -> Result<Outcome, Failure> {
    let stage = Stage::new(target);
    let mut stage = stage.ok_or_else(|| Failure::internal("there is no stage", "a plain link"))?;
    Ok(play(script, &mut stage, places, seed))
}

fn report(name: &str, outcome: &Outcome, printer: Printer) -> String {
    if printer.json {
        let mut object = outcome.object();
        object["schema"] = "mpuser.script/1".into();
        object["file"] = name.into();
        return format!("{object}\n");
    }
    let mut text = String::new();
    if printer.is_verbose() {
        let mut tracer = Tracer::new();
        for exchange in &outcome.log {
            let _ = writeln!(text, "{}", tracer.line(exchange));
        }
    }
    let (steps, packets) = (outcome.done.len(), outcome.log.len());
    let time = outcome.done.last().map_or(Duration::ZERO, |step| step.at);
    let Some(problem) = &outcome.problem else {
        let _ = writeln!(text, "ok      {name}: {steps} steps, {packets} packets, {time:?}");
        return text;
    };
    let _ = writeln!(text, "FAILED  {name}:{}: {}", problem.line, problem.step);
    match &problem.came {
        Some(came) => {
            let _ = writeln!(text, "  {}: {came}", problem.what);
        }
        None => {
            let _ = writeln!(text, "  {}", problem.what);
        }
    }
    if let Some(difference) = &problem.difference {
        let _ = write!(text, "{difference}");
    }
    text
}

/// A host as the stack under test. Nobody here can tell its application what to do.
struct Remote<'l>(&'l mut Live);

impl Target for Remote<'_> {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn inject(&mut self, packet: &[u8]) {
        self.0.send(packet);
    }

    fn next_packet(&mut self, limit: Duration) -> Option<Vec<u8>> {
        self.0.receive(limit)
    }

    fn connect(&mut self, _: SocketAddr) -> Result<(), AppError> {
        Err(AppError::Other)
    }

    fn accept(&mut self) -> bool {
        // an application of its own has taken it, or will
        true
    }

    fn read(&mut self, _: usize) -> Result<Vec<u8>, AppError> {
        Err(AppError::Other)
    }

    fn write(&mut self, _: &[u8]) -> Result<usize, AppError> {
        Err(AppError::Other)
    }

    fn shutdown(&mut self) {}

    fn close(&mut self) {}

    fn abort(&mut self) {}

    fn delete_endpoint(&mut self) -> Result<(), String> {
        Err("it is another machine's".to_owned())
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// A script asks for something only an application here can do.
fn needs_application(script: &Script) -> bool {
    use mpuser_craft::script::{Action, App};
    let here = |action: &Action| matches!(action, Action::App(app) if *app != App::Accept);
    script.setup.client || script.steps.iter().any(|step| here(&step.action))
}
