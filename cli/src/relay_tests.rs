use super::*;
use tokio::io::{DuplexStream, duplex, empty, sink, split};

/// A peer under the test's control, and the relay's end of it.
fn wire() -> (DuplexStream, DuplexStream) {
    duplex(1024)
}

async fn run<I, O>(
    near: DuplexStream,
    input: I,
    output: O,
    wishes: Wishes,
    signals: &[Code],
) -> (End, DuplexStream)
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    let (sender, mut stop) = mpsc::channel(4);
    for code in signals {
        sender.send(*code).await.unwrap();
    }
    let (mut reader, mut writer) = split(near);
    let ends = Ends { reader: &mut reader, writer: &mut writer, input, output };
    let end = relay(ends, wishes, &mut stop).await;
    (end, reader.unsplit(writer))
}

/// U2: the output holds the peer's bytes and nothing else, the peer got the input's.
#[tokio::test]
async fn both_directions_run_to_their_ends() {
    let (near, mut far) = wire();
    let input: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let mut output = Vec::new();
    let peer = async {
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        // the peer answers after the half close
        far.write_all(b"answer\0\xff\n").await.unwrap();
        far.shutdown().await.unwrap();
        got
    };
    let relayed = run(near, input.as_slice(), &mut output, Wishes::default(), &[]);
    let ((end, _), got) = tokio::join!(relayed, peer);
    assert!(matches!(end, End::Finished), "{end:?}");
    assert_eq!(got, input);
    assert_eq!(output, b"answer\0\xff\n");
}

#[tokio::test]
async fn the_peers_end_does_not_cut_off_piped_input() {
    let (near, mut far) = wire();
    far.shutdown().await.unwrap();
    let input = vec![7; 10_000];
    let read = async {
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        got.len()
    };
    let relayed = run(near, input.as_slice(), sink(), Wishes::default(), &[]);
    let ((end, _), got) = tokio::join!(relayed, read);
    assert!(matches!(end, End::Finished));
    assert_eq!(got, 10_000);
}

#[tokio::test]
async fn the_peers_end_ends_a_terminal_session() {
    let (near, mut far) = wire();
    far.shutdown().await.unwrap();
    // an input that never yields
    let (input, _keyboard) = duplex(16);
    let wishes = Wishes { interactive: true, ..Wishes::default() };
    let (end, _) = run(near, input, sink(), wishes, &[]).await;
    assert!(matches!(end, End::Finished));
}

#[tokio::test]
async fn recv_only_sends_nothing_and_closes_after_the_peer() {
    let (near, mut far) = wire();
    far.write_all(b"data").await.unwrap();
    far.shutdown().await.unwrap();
    let mut output = Vec::new();
    let wishes = Wishes { recv_only: true, ..Wishes::default() };
    let (end, near) = run(near, &b"not sent"[..], &mut output, wishes, &[]).await;
    assert!(matches!(end, End::Finished));
    assert_eq!(output, b"data");
    drop(near);
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert!(got.is_empty());
}

#[tokio::test]
async fn send_only_ends_with_the_input_and_shows_nothing() {
    let (near, mut far) = wire();
    far.write_all(b"ignored").await.unwrap();
    let mut output = Vec::new();
    let wishes = Wishes { send_only: true, mute: true, ..Wishes::default() };
    let (end, _near) = run(near, &b"data"[..], &mut output, wishes, &[]).await;
    assert!(matches!(end, End::Finished));
    assert!(output.is_empty());
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"data");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_and_movement_does_not() {
    let (near, mut far) = wire();
    let (input, _keyboard) = duplex(16);
    let wishes = Wishes { idle: Some(Duration::from_secs(1)), ..Wishes::default() };
    let start = Instant::now();
    let peer = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(900)).await;
            far.write_all(b"x").await.unwrap();
        }
    };
    let ((end, _), ()) = tokio::join!(run(near, input, sink(), wishes, &[]), peer);
    assert!(matches!(end, End::Idle));
    let lasted = start.elapsed();
    assert!((5_500..5_600).contains(&lasted.as_millis()), "{lasted:?}");
}

#[tokio::test]
async fn the_first_signal_closes_and_the_second_aborts() {
    let (near, mut far) = wire();
    let (input, _keyboard) = duplex(16);
    let peer = async {
        let mut got = Vec::new();
        // the half close arrives although the input is still open
        far.read_to_end(&mut got).await.unwrap();
        far.shutdown().await.unwrap();
    };
    let relayed = run(near, input, sink(), Wishes::default(), &[Code::Interrupted]);
    let ((end, _), ()) = tokio::join!(relayed, peer);
    assert!(matches!(end, End::Closed(Code::Interrupted)), "{end:?}");

    let (near, _far) = wire();
    let (input, _keyboard) = duplex(16);
    let signals = [Code::Interrupted, Code::Interrupted];
    let (end, _) = run(near, input, sink(), Wishes::default(), &signals).await;
    assert!(matches!(end, End::Abort(Code::Interrupted)), "{end:?}");
}

#[tokio::test]
async fn a_closed_output_ends_it_quietly() {
    let (near, mut far) = wire();
    far.write_all(b"data").await.unwrap();
    let (output, reader) = duplex(16);
    drop(reader);
    let (input, _keyboard) = duplex(16);
    let (end, _) = run(near, input, output, Wishes::default(), &[]).await;
    assert!(matches!(end, End::OutputClosed), "{end:?}");
}

#[tokio::test]
async fn reflection() {
    for (echo, expected) in [(true, &b"again"[..]), (false, b"")] {
        let (near, mut far) = wire();
        far.write_all(b"again").await.unwrap();
        far.shutdown().await.unwrap();
        let (mut reader, mut writer) = split(near);
        let end = reflect(&mut reader, &mut writer, Limits { echo, idle: None }).await;
        assert!(matches!(end, End::Finished));
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, expected);
    }
    let (near, far) = wire();
    drop(far);
    let (end, _) = run(near, empty(), sink(), Wishes::default(), &[]).await;
    assert!(matches!(end, End::Finished), "{end:?}");
}
