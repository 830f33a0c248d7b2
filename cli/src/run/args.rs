//! The arguments of `mpuser run`.

use crate::args::Transport;
use crate::units::parse_duration;
use clap::Args;
use std::ffi::OsString;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser run curl -O http://192.168.56.101/big
  mpuser run git clone https://example.org/project.git
  mpuser run --path eth0 --path wlan0,backup -v -- ssh host
  mpuser run --pcap run.pcapng iperf3 -c HOST
  mpuser run bash                       everything started from this shell

It needs root. The program, static or not, runs in a network namespace of its own; each of its TCP connections goes out
as an MPTCP connection over all paths, or as plain TCP where the other end has no MPTCP. UDP, name look-ups and ping work,
127.0.0.1 is the program's own. Exit code and output are the program's; 127 and 126 say that it could not be started.")]
// what belongs to netcat has no meaning here
#[command(mut_arg("idle_timeout", |arg| arg.help("End connections that are silent for this long")))]
#[command(mut_arg("fast_open", |arg| arg.hide(true)))]
#[command(mut_arg("require_mptcp", |arg| arg.help("Refuse connections that would be plain TCP")))]
pub(crate) struct Run {
    /// How long the other end may take to answer; the program's own limit is another one
    #[arg(short = 'w', long, value_name = "TIME", default_value = "20s", value_parser = parse_duration)]
    pub(super) connect_timeout: Duration,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// The program and its arguments
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(super) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command};
    use clap::Parser as _;

    #[test]
    fn options_behind_the_program_are_the_programs() {
        for words in [
            "mpuser run -v --no-join curl -s -v --path x http://a/",
            "mpuser run -v --no-join -- curl -s -v --path x http://a/",
        ] {
            let cli = Cli::try_parse_from(words.split(' ')).unwrap();
            let Command::Run(run) = cli.command else { panic!("run") };
            assert_eq!(cli.global.verbose, 1);
            assert!(run.transport.no_join && run.transport.path.is_empty());
            assert_eq!(run.command, ["curl", "-s", "-v", "--path", "x", "http://a/"]);
        }
        assert!(Cli::try_parse_from(["mpuser", "run"]).is_err());
        assert!(Cli::try_parse_from(["mpuser", "run", "--"]).is_err());
    }
}
