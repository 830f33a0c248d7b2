//! Captures of this repository and, where they lie beside it, those that may not be in it.
#![allow(dead_code, reason = "every test uses a part")]

pub(crate) mod damage;

use mpuser_inspect::packet::dissect;
use mpuser_inspect::trace::Placed;
use mpuser_inspect::{Content, Packet, ReadError, Reader, Report, Settings, Trace};
use std::path::{Path, PathBuf};

/// Where the captures lie that may not be in the repository.
pub(crate) fn beside(root: &Path) -> PathBuf {
    std::env::var_os("MPUSER_PCAPS").map_or_else(|| root.join("../shared/pcaps"), PathBuf::from)
}

/// The captures that lie in the repository, and those of the folders beside it.
pub(crate) fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    let beside =
        std::env::var_os("MPUSER_PCAPS").map_or(root.join("../shared/pcaps"), PathBuf::from);
    for folder in
        [root.join("pcaps"), beside.join("free"), beside.join("copyleft"), beside.join("read-only")]
    {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            // those that may not be in the repository are nobody's duty to have
            eprintln!("NOT READ: the captures of {}: no such folder", folder.display());
            continue;
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_owned();
            let is_capture = file.extension().is_some_and(|e| e == "pcap" || e == "pcapng");
            if is_capture && names.insert(name) {
                all.push(file);
            }
        }
    }
    all
}

/// The name without its folder.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads a capture to its end.
pub(crate) fn inspect(bytes: &[u8]) -> (Report, Option<ReadError>) {
    let mut trace = Trace::new(Settings::default());
    let error = each(bytes, |packet| {
        trace.push(packet);
    });
    (trace.finish(), error)
}

/// Every TCP segment of a capture.
pub(crate) fn each(bytes: &[u8], mut then: impl FnMut(&Packet<'_>)) -> Option<ReadError> {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                if let Content::Tcp(packet) = dissect(&frame) {
                    then(&packet);
                }
            }
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Every frame of a capture as a line.
pub(crate) fn decode(bytes: &[u8]) -> Vec<String> {
    let mut trace = Trace::new(Settings::default());
    let mut reader = Reader::new(bytes);
    let mut first = None;
    let mut lines = Vec::new();
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                first = first.or(frame.time);
                lines.push(match dissect(&frame) {
                    Content::Tcp(packet) => {
                        let placed: Placed = trace.push(&packet);
                        mpuser_inspect::decode::line(&packet, &placed, first)
                    }
                    other => mpuser_inspect::decode::other_line(&frame, &other, first),
                });
            }
            Ok(None) => return lines,
            Err(error) => {
                lines.push(error.to_string());
                return lines;
            }
        }
    }
}
