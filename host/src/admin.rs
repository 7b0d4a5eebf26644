//! The pages that people, probes and Prometheus read: health, readiness, metrics.
//!
//! Ready means: able to do some work. A consumer or provider that does not answer is shown, and does not make the broker
//! unready, since the others are served.

use std::{fmt::Write as _, sync::Arc};

use http::StatusCode;

use crate::metrics::Metrics;

pub use resource_broker_cli::bind::Bind;

pub use crate::httpd::{Page, Pages, ServeError, Server};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One thing that `/readyz?verbose` tells about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about, as `cluster consumer#a`.
    pub name: String,
    /// Whether all is well.
    pub ok: bool,
    /// Whether the broker is unready where it is not.
    pub required: bool,
    /// What is the matter; empty where all is well.
    pub detail: String,
}

/// Tells how things are at the moment of the call.
pub type Checks = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// Serves `/healthz`, `/livez` (the process runs) and `/readyz` (it can work; `?verbose` says more).
pub async fn serve_health(bind: &Bind, checks: Checks) -> Result<Option<Server>, ServeError> {
    let pages: Pages = Arc::new(move |path, query| match path {
        "/healthz" | "/livez" => Page::plain(StatusCode::OK, "ok\n"),
        "/readyz" => readyz(&checks(), query.is_some_and(is_verbose)),
        _ => Page::missing(),
    });
    Server::start(bind, false, pages).await
}

/// Serves `/metrics`, over HTTPS where `secure`.
pub async fn serve_metrics(bind: &Bind, secure: bool, metrics: Metrics) -> Result<Option<Server>, ServeError> {
    let pages: Pages = Arc::new(move |path, _| match path {
        "/metrics" => match metrics.encode() {
            Ok(text) => Page { status: StatusCode::OK, content_type: OPEN_METRICS, text },
            Err(_) => Page::plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written down\n"),
        },
        _ => Page::missing(),
    });
    Server::start(bind, secure, pages).await
}

fn is_verbose(query: &str) -> bool {
    query.split('&').any(|part| part == "verbose" || part.starts_with("verbose="))
}

fn readyz(checks: &[Check], verbose: bool) -> Page {
    let ready = checks.iter().all(|check| check.ok || !check.required);
    let (status, verdict) =
        if ready { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") };
    let mut text = String::new();
    // Who meets an unready broker wants to know why without a second request.
    if verbose || !ready {
        for Check { name, ok, required: _, detail } in checks {
            // Writing to a String cannot fail.
            let _ = if *ok { writeln!(text, "[+]{name} ok") } else { writeln!(text, "[-]{name}: {detail}") };
        }
    }
    text.push_str(verdict);
    Page::plain(status, text)
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    fn check(name: &str, ok: bool, required: bool) -> Check {
        let detail = if ok { String::new() } else { "no answer".to_owned() };
        Check { name: name.to_owned(), ok, required, detail }
    }

    #[test]
    fn only_what_is_required_makes_unready() {
        let page =
            readyz(&[check("cluster consumer#a", false, false), check("cluster coordination#c", true, true)], true);
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.text, "[-]cluster consumer#a: no answer\n[+]cluster coordination#c ok\nready\n");
        let page = readyz(&[check("cluster coordination#c", false, true)], false);
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(page.text, "[-]cluster coordination#c: no answer\nnot ready\n");
    }

    async fn get(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn pages_are_served() {
        let bind: Bind = "127.0.0.1:0".parse().unwrap();
        let checks: Checks = Arc::new(|| vec![check("cluster consumer#a", false, false)]);
        let health = serve_health(&bind, checks).await.unwrap().unwrap();
        for (head, status, text) in [
            ("GET /healthz HTTP/1.1", "200", "ok\n"),
            ("GET /readyz?verbose HTTP/1.1", "200", "[-]cluster consumer#a: no answer\nready\n"),
            ("GET /other HTTP/1.1", "404", "not found\n"),
            ("POST /healthz HTTP/1.1", "405", "only GET is answered\n"),
        ] {
            let answer = get(health.address(), head).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with(text), "{head}: {answer}");
        }
        let metrics = serve_metrics(&bind, false, Metrics::new()).await.unwrap().unwrap();
        assert!(get(metrics.address(), "GET /metrics HTTP/1.1").await.ends_with("# EOF\n"));
    }

    /// What a page answers, and how long it takes. The limit is what a probe has by default.
    async fn probe(address: SocketAddr) -> String {
        let head = "GET /healthz HTTP/1.1";
        tokio::time::timeout(Duration::from_secs(1), get(address, head)).await.unwrap_or_else(|_| "too late".to_owned())
    }

    fn is_ok(answer: &str) -> bool {
        answer.starts_with("HTTP/1.1 200")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn silent_connections_do_not_delay_a_probe() {
        let bind: Bind = "127.0.0.1:0".parse().unwrap();
        let health = serve_health(&bind, Arc::new(Vec::new)).await.unwrap().unwrap();
        let mut silent = Vec::new();
        for more in [100, 40, 40, 40] {
            for _ in 0..more {
                silent.push(TcpStream::connect(health.address()).await.unwrap());
            }
            let answer = probe(health.address()).await;
            assert!(is_ok(&answer), "with {} silent connections: {answer}", silent.len());
        }
        // Those that were silent longest were closed for it.
        let closed = tokio::time::timeout(Duration::from_secs(1), silent[0].read(&mut [0; 1])).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_handshake_that_is_not_made_does_not_delay_a_scrape() {
        let bind: Bind = "127.0.0.1:0".parse().unwrap();
        let metrics = serve_metrics(&bind, true, Metrics::new()).await.unwrap().unwrap();
        let mut silent = Vec::new();
        for _ in 0..140 {
            silent.push(TcpStream::connect(metrics.address()).await.unwrap());
        }
        let shaken = tokio::time::timeout(Duration::from_secs(1), handshake(metrics.address())).await;
        assert!(shaken.is_ok_and(|error| error.contains("invalid peer certificate")));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn odd_clients_are_sent_away_and_delay_nobody() {
        let bind: Bind = "127.0.0.1:0".parse().unwrap();
        let health = serve_health(&bind, Arc::new(Vec::new)).await.unwrap().unwrap();
        let address = health.address();
        let started = tokio::time::Instant::now();
        let mut slow = Vec::new();
        for _ in 0..100 {
            slow.push(tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for byte in b"GET /healthz HTTP/1.1\r\nHost: a-host-with-a-long-name.example" {
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }));
        }
        // Nothing is read of a body.
        for (head, expected) in [
            (format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(1 << 20)), "HTTP/1.1 431"),
            (format!("GET /{} HTTP/1.1", "x".repeat(1 << 20)), "HTTP/1.1 4"),
            ("POST /healthz HTTP/1.1\r\nContent-Length: 99999999999".to_owned(), "HTTP/1.1 405"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // It may be closed before all is written.
            let _ = stream.write_all(format!("{head}\r\nHost: x\r\n\r\n").as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with(expected), "{expected}: {answer}");
            assert!(is_ok(&probe(address).await));
        }
        for slow in slow {
            slow.await.unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(20), "a byte a second is sent away after its time");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_its_answer_is_sent_away() {
        let bind: Bind = "127.0.0.1:0".parse().unwrap();
        let large: Checks = Arc::new(|| vec![check(&"x".repeat(64 << 20), false, false)]);
        let health = serve_health(&bind, large).await.unwrap().unwrap();
        let mut stream = TcpStream::connect(health.address()).await.unwrap();
        stream.write_all(b"GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        stream.readable().await.unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.len() < 64 << 20, "it was not given all");
    }

    #[tokio::test]
    async fn a_taken_port_is_told_with_a_way_out() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bind: Bind = taken.local_addr().unwrap().to_string().parse().unwrap();
        let error = serve_health(&bind, Arc::new(Vec::new)).await.unwrap_err().to_string();
        assert!(
            error.contains(&taken.local_addr().unwrap().to_string()) && error.contains("choose another"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn metrics_are_served_over_tls() {
        let bind: Bind = "127.0.0.1:0".parse().unwrap();
        let server = serve_metrics(&bind, true, Metrics::new()).await.unwrap().unwrap();
        let error = handshake(server.address()).await;
        assert!(error.contains("invalid peer certificate"), "{error}");
    }

    /// The certificate is self-signed: that the client refuses it, and not the protocol, shows that TLS is spoken.
    async fn handshake(address: SocketAddr) -> String {
        use tokio_rustls::{TlsConnector, rustls};
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap_err().to_string()
    }
}
