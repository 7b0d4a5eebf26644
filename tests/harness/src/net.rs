//! Loopback ports and the smallest possible HTTP client.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Ports that systems do not give to connections by themselves (those begin at 32768): a server may start on one long after
/// it was chosen.
const PORTS: Range<u16> = 10_000..32_000;

/// A loopback port that nothing listens on and that this program has not handed out before.
pub fn free_port() -> Result<u16> {
    static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    for _ in 0..PORTS.len() {
        // At random, so that two programs hardly ever choose the same one at the same time.
        let random = RandomState::new().hash_one(()) % PORTS.len() as u64;
        let port = PORTS.start + u16::try_from(random).context("a port beyond the last one")?;
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
    bail!("no free loopback port from {} to {}", PORTS.start, PORTS.end)
}

/// `GET path` from a loopback port: the status code and the body.
///
/// HTTP/1.0, so that the server ends the connection and never sends chunks.
pub(crate) async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.with_context(|| format!("GET {url}"))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.with_context(|| format!("GET {url}"))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.with_context(|| format!("GET {url}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("GET {url}: not an HTTP answer"))?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.with_context(|| format!("GET {url}: no status code"))?, body.to_owned()))
}
