//! The pages that people, probes and Prometheus read: health, readiness, metrics.
//!
//! Ready means: able to do some work. A consumer or provider that does not answer is shown, and does not make the broker
//! unready, since the others are served.

use std::{fmt::Write as _, sync::Arc};

use http::StatusCode;

use crate::metrics::Metrics;

pub use crate::httpd::{Bind, Page, Pages, ServeError, Server};

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
    use std::net::SocketAddr;

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
        use tokio_rustls::{TlsConnector, rustls};
        let bind: Bind = "127.0.0.1:0".parse().unwrap();
        let server = serve_metrics(&bind, true, Metrics::new()).await.unwrap().unwrap();
        // The certificate is self-signed: that the client refuses it, and not the protocol, shows that TLS is spoken.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let error = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap_err().to_string();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }
}
