//! Running `ip`, `tc` and `nft`.
//!
//! A command runs in the network namespace of the calling *thread* (a child inherits it), so the
//! same code serves the live command and the lab; the lab adds `-n NAMESPACE`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::error::{ErrorKind, NetError, PRIVILEGE_HELP, Result};

/// Where the tools live when the caller's PATH lacks the sbin directories (a plain user's does).
const SBIN: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The full path of `tool`, `None` if it is not installed.
pub(crate) fn find_tool(tool: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .filter(|d| d.starts_with('/'))
        .chain(SBIN)
        .map(|d| format!("{d}/{tool}"))
        .find(|p| std::path::Path::new(p).is_file())
}

fn package_of(tool: &str) -> &'static str {
    match tool {
        "nft" => "nftables",
        "modprobe" | "depmod" => "kmod",
        "apt-get" | "apt-cache" => "apt",
        "dpkg-deb" => "dpkg",
        _ => "iproute2",
    }
}

/// Runs `tool args`, with `input` on its standard input; fails unless it exits with 0.
pub(crate) fn run(tool: &str, args: &[&str], input: Option<&str>) -> Result<String> {
    let out = output(tool, args, input)?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let because = words(&out);
    let refused = ["Operation not permitted", "Permission denied", "must be root"];
    let kind = if refused.iter().any(|w| because.contains(w)) {
        ErrorKind::Permission
    } else {
        ErrorKind::Command
    };
    let help = match kind {
        ErrorKind::Permission => PRIVILEGE_HELP,
        _ => "run `mpuser doctor`; if it finds nothing, run the command by hand",
    };
    let shown = match input {
        Some(text) => format!("{tool} {} <<< {:?}", args.join(" "), text),
        None => format!("{tool} {}", args.join(" ")),
    };
    Err(NetError::new(kind, format!("`{shown}` failed"), because, help))
}

fn output(tool: &str, args: &[&str], input: Option<&str>) -> Result<Output> {
    let path = find_tool(tool).ok_or_else(|| {
        NetError::new(
            ErrorKind::MissingTool,
            format!("cannot run `{tool}`"),
            "it is not installed, or not in PATH or an sbin directory",
            format!("install the package {}", package_of(tool)),
        )
    })?;
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let cannot = |e: &std::io::Error| NetError::io(format!("cannot run `{path}`"), e);
    let mut child = Command::new(&path)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| cannot(&e))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        // A tool that stops reading has said why on stderr, so EPIPE is not the error to report.
        let _ = pipe.write_all(text.as_bytes());
    }
    child.wait_with_output().map_err(|e| cannot(&e))
}

/// What a failed command said, in one line.
fn words(out: &Output) -> String {
    let said = String::from_utf8_lossy(&out.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if said.is_empty() { format!("it ended with {}", out.status) } else { said.join("; ") }
}

/// `ip args`.
pub(crate) fn ip(args: &[&str]) -> Result<String> {
    run("ip", args, None)
}

/// `ip -json args`, parsed. An empty answer is an empty array.
pub(crate) fn ip_json(args: &[&str]) -> Result<Value> {
    let mut all = vec!["-json"];
    all.extend_from_slice(args);
    let text = ip(&all)?;
    parse_json(&text, args)
}

fn parse_json(text: &str, args: &[&str]) -> Result<Value> {
    if text.trim().is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    serde_json::from_str(text).map_err(|e| {
        NetError::new(
            ErrorKind::Malformed,
            format!("cannot understand the answer of `ip -json {}`", args.join(" ")),
            e.to_string(),
            "iproute2 5.0 or newer is needed",
        )
    })
}

/// Runs the lines through one `ip -batch -`, after `options` such as `-6` or `-n NAMESPACE`.
pub(crate) fn ip_batch(options: &[&str], lines: &[String]) -> Result<()> {
    batch("ip", options, lines)
}

/// Runs the lines through one `tc -batch -`.
pub(crate) fn tc_batch(options: &[&str], lines: &[String]) -> Result<()> {
    batch("tc", options, lines)
}

fn batch(tool: &str, options: &[&str], lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let args = [options, &["-batch", "-"]].concat();
    let mut text = lines.join("\n");
    text.push('\n');
    run(tool, &args, Some(&text)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_the_words_of_the_tool() {
        let e = ip(&["link", "show", "dev", "mpu-none"]).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Command);
        assert!(e.because.contains("mpu-none"), "{e}");
        let e = run("mpu-no-such-tool", &[], None).unwrap_err();
        assert_eq!(e.kind, ErrorKind::MissingTool);
    }

    #[test]
    fn json_of_nothing_is_an_empty_list() {
        assert_eq!(parse_json("\n", &[]).unwrap(), Value::Array(vec![]));
        assert_eq!(parse_json("{", &[]).unwrap_err().kind, ErrorKind::Malformed);
    }
}
