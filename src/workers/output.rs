//! A worker's standard output and error, line by line, into our log.

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinSet,
};

/// Longest part of a line that is logged; what is beyond is dropped, so that a line without an end fills no memory.
const LINE_BYTES_MAX: usize = 4096;
/// Read at once.
const CHUNK_BYTES: usize = 4096;

/// Logs what comes from `pipe` under the worker's name until it ends.
pub(super) fn log_lines(tasks: &mut JoinSet<()>, worker: &str, pipe: Option<impl AsyncRead + Send + Unpin + 'static>) {
    let Some(pipe) = pipe else { return };
    let worker = worker.to_owned();
    tasks.spawn(async move { read_lines(pipe, |line| tracing::info!(worker, line, "a worker says")).await });
}

async fn read_lines(mut pipe: impl AsyncRead + Unpin, mut take: impl FnMut(&str)) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut line: Vec<u8> = Vec::new();
    let mut end = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        if !text.trim().is_empty() {
            take(text.trim_end());
        }
        line.clear();
    };
    loop {
        // A pipe that breaks has ended.
        let read = pipe.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        let mut parts = chunk.get(..read).unwrap_or_default().split(|byte| *byte == b'\n');
        let first = parts.next().unwrap_or_default();
        keep(&mut line, first);
        for part in parts {
            end(&mut line);
            keep(&mut line, part);
        }
    }
    end(&mut line);
}

fn keep(line: &mut Vec<u8>, part: &[u8]) {
    let room = LINE_BYTES_MAX.saturating_sub(line.len()).min(part.len());
    line.extend_from_slice(part.get(..room).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        read_lines(bytes, |line| lines.push(line.to_owned())).await;
        lines
    }

    #[tokio::test]
    async fn lines_are_told_one_by_one_the_last_also_without_an_end() {
        assert_eq!(lines(b"one\r\n\ntwo\n  \nthree").await, ["one", "two", "three"]);
        assert!(lines(b"").await.is_empty());
        assert_eq!(lines(b"\xff\n").await, ["\u{fffd}"]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut_and_the_next_one_is_whole() {
        let mut bytes = vec![b'x'; 3 * CHUNK_BYTES + 5];
        bytes.extend_from_slice(b"\nnext\n");
        let lines = lines(&bytes).await;
        assert_eq!((lines[0].len(), lines[1].as_str()), (LINE_BYTES_MAX, "next"));
    }
}
