//! HTTP over the streams: a hyper server for the kernel's curl, and a hyper client for Python's server.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mpuser_tests::interop::{
    Data, ENGINE, Fixture, SERVER, Scenario, Setup, Table, established, main as run, sha256,
};
use mpuser_tun::MptcpListener;
use mpuser_tun::lab::LabOptions;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "curl_over_mptcp_and_tcp_from_a_hyper_server", run: server },
        Scenario { name: "a_hyper_client_of_a_python_server", run: client },
    ];
    run("http", LabOptions::default(), &["curl", "mptcpize"], &scenarios)
}

const PORT: u16 = 8080;
const SIZES: [usize; 4] = [0, 1, 1 << 20, 100 << 20];

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let size = request.uri().path().strip_prefix("/bytes/").and_then(|n| n.parse().ok());
    let body = size.map(|size| Bytes::from(Data::new(size, 1).bytes));
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(body.unwrap_or_default()));
    *response.status_mut() = status;
    Ok(response)
}

/// Serves one connection to its end; whether it was Multipath TCP.
async fn serve_one(listener: &MptcpListener) -> bool {
    let (stream, _) = listener.accept().await.unwrap();
    let mptcp = stream.is_mptcp();
    let service = hyper::service::service_fn(answer);
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .unwrap();
    mptcp
}

fn server(fixture: &Fixture) {
    let mut table = Table::new(
        "curl from a hyper server over MptcpListener",
        &["curl", "bytes", "protocol", "equal"],
    );
    fixture.client(&Setup::default(), async |stack| {
        let listener = MptcpListener::bind(stack, (Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap();
        for size in SIZES {
            for wrapper in [Some("mptcpize"), None] {
                let url = format!("http://{ENGINE}:{PORT}/bytes/{size}");
                let mut command = Command::new(wrapper.unwrap_or("curl"));
                if wrapper.is_some() {
                    command.args(["run", "curl"]);
                }
                command.args(["-sS", "--max-time", "30", "--fail", &url]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                let child = fixture.lab().spawn("server", command).unwrap();
                let got = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
                let (mptcp, got) = tokio::join!(serve_one(&listener), got);
                let got = got.unwrap();
                assert!(got.status.success(), "{url}: {}", String::from_utf8_lossy(&got.stderr));
                assert_eq!(mptcp, wrapper.is_some());
                assert_eq!(got.stdout.len(), size);
                assert_eq!(sha256(&got.stdout), Data::new(size, 1).sha256, "{url}");
                let curl = wrapper.map_or("curl", |_| "mptcpize run curl");
                table.row(&[&curl, &size, &if mptcp { "MPTCP" } else { "TCP" }, &"yes"]);
            }
        }
    });
    println!("{table}");
}

fn client(fixture: &Fixture) {
    let columns = ["bytes", "subflows", "equal to X-SHA256"];
    let mut table = Table::new("A hyper client over MptcpStream from Python's server", &columns);
    let _server = fixture.peer("server", "http_server.py", &PORT.to_string());
    fixture.client(&Setup::default(), async |stack| {
        let stream = stack.connect(SocketAddr::new(SERVER, PORT)).await.unwrap();
        established(&stream, 3).await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        // All over one connection.
        for size in SIZES {
            let uri = format!("/bytes/{size}");
            let request =
                Request::get(&uri).header("host", "lab").body(Empty::<Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let theirs = response.headers()["x-sha256"].to_str().unwrap().to_owned();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!((body.len(), sha256(&body)), (size, theirs), "{uri}");
            table.row(&[&size, &3, &"yes"]);
        }
        drop(sender);
        connection.await.unwrap().unwrap();
    });
    println!("{table}");
}
