//! Makes a lab, removes it, or runs a program in it:
//! `lab_up up [RATE] | down | list | doctor | exec NODE COMMAND...`

use std::process::ExitCode;

use mpuser_tun::lab::{self, LabOptions, SEED};
use mpuser_tun::net::{NetError, doctor};

fn run(args: &[&str]) -> Result<u8, NetError> {
    match args {
        ["up", rest @ ..] => {
            let rate = rest.first().map(|r| (*r).to_owned());
            let lab = lab::up(&LabOptions { rate, ..LabOptions::default() })?;
            println!("{:#?}", lab.state().paths);
        }
        ["down"] => println!("{}", lab::down(SEED)?),
        ["list"] => lab::list()?.iter().for_each(|l| println!("{l:?}")),
        ["exec", node, argv @ ..] => {
            let status = lab::exec(node, argv)?;
            return Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(255));
        }
        ["doctor"] => {
            for f in doctor::doctor() {
                println!("{:?}\t{}\t{}\t{}", f.level, f.check, f.detail, f.fix.unwrap_or_default());
            }
        }
        _ => {
            eprintln!("usage: lab_up up [RATE] | down | list | doctor | exec NODE COMMAND...");
            return Ok(2);
        }
    }
    Ok(0)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(6)
        }
    }
}
