//! Data for the SYN (TCP Fast Open, RFC 7413), and the cookies that allow it.

use crate::args::Connect;
use crate::error::Failure;
use crate::output::Printer;
use crate::session::{Session, connection_config};
use mpuser_engine::addr::IpAddr;
use mpuser_engine::config::FastOpen;
use mpuser_tun::net::fast_open;
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, Stdin};

/// What fits on a SYN, and no more: the rest goes as always.
const MOST: usize = 1_400;
/// How long the input may take to have something.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the first SYN is to carry: what the input has by now, where the server has given a cookie or needs none. A
/// person at a terminal is not waited for.
pub(super) async fn data(
    session: &Session,
    args: &Connect,
    server: IpAddr,
    input: &mut Stdin,
    printer: &Printer,
) -> Result<Vec<u8>, Failure> {
    let mode = connection_config(&args.transport).fast_open;
    if mode == FastOpen::Off {
        return Ok(Vec::new());
    }
    match fast_open::remembered(server) {
        Ok(Some(cookie)) => session.stack.set_fast_open_cookie(server, cookie),
        Ok(None) => {}
        Err(error) => printer.line(&format!("note: {}: {}", error.message, error.because)),
    }
    let allowed =
        mode == FastOpen::WithoutCookie || session.stack.fast_open_cookie(server).is_some();
    let wanted = !args.zero && !args.stdio.recv_only && !std::io::stdin().is_terminal();
    let mut data = vec![0; MOST];
    let mut len = 0;
    if allowed && wanted {
        // what is under way when the time is over is not lost: the input keeps it for the next who reads
        if let Ok(read) = tokio::time::timeout(PATIENCE, input.read(&mut data)).await {
            len = read.map_err(|error| Failure::io("cannot read standard input", &error))?;
        }
    }
    data.truncate(len);
    Ok(data)
}

/// Keeps the cookie of a server for later processes.
pub(super) fn remember(session: &Session, server: IpAddr, printer: &Printer) {
    let Some(cookie) = session.stack.fast_open_cookie(server) else { return };
    if fast_open::remembered(server).is_ok_and(|known| known == Some(cookie)) {
        return;
    }
    if let Err(error) = fast_open::remember(server, cookie) {
        printer.line(&format!("note: {}: {}", error.message, error.because));
    }
}
