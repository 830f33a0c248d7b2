//! What only tests of this repository call: fuzz targets feed the parsers of proxies' answers. No part of the interface;
//! it is not there without the feature `internals`.

use super::dial::Dialer;
use super::url::{HostPort, ProxyUrl};
use mpuser_engine::addr::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a client says to the proxy in `url` and hears from it, up to the octets behind the greeting; or why not.
///
/// # Errors
/// Cause and help in one line.
pub async fn greet<S>(url: ProxyUrl, server: HostPort, stream: S) -> Result<(S, Vec<u8>), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (proxy, port) = (SocketAddr::from(([192, 0, 2, 1], 1080)), server.port);
    let greeted = Dialer::new(url, proxy, server, port).greet(stream).await;
    let (stream, rest) = greeted.map_err(|error| format!("{}; {}", error.cause, error.help))?;
    Ok((stream, rest.to_vec()))
}
