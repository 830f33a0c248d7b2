//! Two stacks joined by two links in memory: the MPTCP side of the tests.

use crate::dial::Dialler;
use crate::report::{Event, Observer};
use mpuser_tun::device::{MemoryConfig, memory_pair};
use mpuser_tun::{MptcpListener, PathConfig, Stack};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// Where the other stack's echo is.
pub(crate) const ECHO: &str = "10.9.0.1:7";

/// Two stacks, this one and the other.
pub(crate) fn stacks() -> (Stack, Stack) {
    let (mut near, mut far) = (Stack::builder().seed([1; 32]), Stack::builder().seed([2; 32]));
    for path in 0..2 {
        let (a, b, _) = memory_pair(MemoryConfig::default()).unwrap();
        let address = |host| IpAddr::from([10, 9, path, host]);
        near = near.path(PathConfig::new(a, address(2)));
        far = far.path(PathConfig::new(b, address(1)));
    }
    (near.build().unwrap(), far.build().unwrap())
}

/// A dialler of this stack's, and an echo at the other one, at [`ECHO`].
pub(crate) async fn echo() -> (Dialler, Stack) {
    let (near, far) = stacks();
    let listener = MptcpListener::bind(&far, ECHO).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut hear, mut say) = stream.into_split();
                tokio::io::copy(&mut hear, &mut say).await?;
                say.shutdown().await
            });
        }
    });
    (Dialler::new(near).timeout(Duration::from_secs(2)), far)
}

/// What an observer heard.
pub(crate) type Said = Arc<Mutex<Vec<String>>>;

/// An observer that writes down what is said of refusals and ends.
pub(crate) fn listener() -> (Observer, Said) {
    let said = Said::default();
    let heard = Arc::clone(&said);
    let observer: Observer = Arc::new(move |event| {
        let line = match event {
            Event::Refused { refusal, .. } => format!("refused {refusal}"),
            Event::Ended { to, end, .. } => format!("ended {to} {end:?}"),
            _ => return,
        };
        heard.lock().unwrap().push(line);
    });
    (observer, said)
}

/// Waits until something that begins so has been said; the whole of it.
pub(crate) async fn until(said: &Said, begin: &str) -> String {
    for _ in 0..1_000 {
        let found = said.lock().unwrap().iter().find(|line| line.starts_with(begin)).cloned();
        if let Some(line) = found {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never {begin}: {:?}", said.lock().unwrap());
}
