//! One context of a kubeconfig as a client's configuration, with the credentials as client-go takes them.

use std::path::PathBuf;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use kube::{
    Config,
    config::{AuthInfo, Cluster, ExecAuthCluster},
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Digest, Inputs, Proxy,
    file::{File, Names, find},
    read_bounded,
};

/// A context that can be used.
pub(super) struct Usable {
    pub(super) config: Config,
    pub(super) namespace: Option<String>,
    /// Differs when anything about reaching the cluster differs.
    pub(super) digest: Digest,
    /// What people should know of it.
    pub(super) warning: Option<String>,
}

/// Reads files that a kubeconfig refers to, and notes what was in them.
struct Files<'a> {
    inputs: &'a mut Inputs,
    hash: Sha256,
}

impl Files<'_> {
    fn read(&mut self, field: &str, path: &str) -> Result<Vec<u8>, String> {
        let path = PathBuf::from(path);
        let read = read_bounded(&path);
        let digest: Option<Digest> = read.as_ref().ok().map(|bytes| Sha256::digest(bytes).into());
        self.hash.update(digest.unwrap_or_default());
        let read = read.map_err(|error| format!("{field}: {} cannot be read: {error}", path.display()));
        self.inputs.push((path, digest));
        read
    }
}

/// How the cluster of a context is reached.
pub(super) fn resolve(file: &File, names: &Names, proxy: &Proxy, inputs: &mut Inputs) -> Result<Usable, String> {
    let mut files = Files { inputs, hash: Sha256::new() };
    let name = names.cluster.as_deref().ok_or("it names no cluster")?;
    let mut cluster = match find(&file.clusters, name) {
        None => return Err(format!("the file has no cluster {name:?}, which it refers to")),
        Some(cluster) => cluster.clone()?,
    };
    let user = names.user.as_deref().map(|name| (name, find(&file.users, name)));
    let given = match user {
        Some((_, Some(user))) => user.clone()?,
        // client-go, too, takes a user that is not there for one without credentials.
        Some((_, None)) | None => AuthInfo::default(),
    };
    let has_certificate = given.client_certificate.is_some() || given.client_certificate_data.is_some();
    let root_cert = authority(&mut cluster, &mut files)?;
    let cluster_url = server(&cluster, has_certificate)?;
    let mut auth_info = credentials(given, &mut files)?;
    if let Some(exec) = auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        let told =
            ExecAuthCluster::try_from(&cluster).map_err(|_| "certificate-authority: it cannot be read".to_owned())?;
        exec.cluster = Some(told);
    }
    let warning = is_anonymous(&auth_info).then(|| {
        let why = match user {
            Some((name, None)) => format!("its user {name:?} is not in the file"),
            Some((name, Some(_))) => format!("its user {name:?} has none"),
            None => "it names no user".to_owned(),
        };
        format!("no credentials are sent ({why}), so the API server sees system:anonymous; give the user a token, a client certificate or an exec plugin")
    });
    // The text holds credentials; it is hashed and dropped.
    let text = serde_json::to_vec(&(&cluster, &auth_info, &names.namespace)).map_err(|_| "it cannot be read back")?;
    files.hash.update(text);

    let mut config = Config::new(cluster_url);
    config.proxy_url = proxy_for(cluster.proxy_url.clone(), &config.cluster_url, proxy)?;
    config.root_cert = root_cert;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
    config.disable_compression = cluster.disable_compression.unwrap_or_default();
    config.tls_server_name = cluster.tls_server_name;
    config.auth_info = auth_info;
    if let Some(namespace) = &names.namespace {
        config.default_namespace.clone_from(namespace);
    }
    Ok(Usable { config, namespace: names.namespace.clone(), digest: files.hash.finalize().into(), warning })
}

/// The certificates that the API server's is signed with, where any are given.
fn authority(cluster: &mut Cluster, files: &mut Files<'_>) -> Result<Option<Vec<Vec<u8>>>, String> {
    const FIELD: &str = "certificate-authority";
    let pem = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => {
            let data = without_blanks(data);
            let pem = decode(&data, "certificate-authority-data")?;
            cluster.certificate_authority_data = Some(data);
            pem
        }
        (None, Some(path)) => files.read(FIELD, path)?,
        (None, None) => return Ok(None),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => {
            Ok(Some(certificates.into_iter().map(|certificate| certificate.to_vec()).collect()))
        }
        Ok(_) => Err(format!("{FIELD}: there is no certificate in it; it must be PEM, with BEGIN CERTIFICATE")),
        Err(_) => Err(format!("{FIELD}: not PEM")),
    }
}

fn server(cluster: &Cluster, has_certificate: bool) -> Result<Uri, String> {
    let given = cluster.server.as_deref().ok_or("its cluster has no server")?.trim();
    let has_authority = cluster.certificate_authority.is_some() || cluster.certificate_authority_data.is_some();
    // As kubectl reads it; without TLS it would have to be http, which nobody means.
    let is_secure = has_certificate || has_authority || cluster.insecure_skip_tls_verify.unwrap_or_default();
    let whole = if given.contains("://") || !is_secure { given.to_owned() } else { format!("https://{given}") };
    let wrong = || "its cluster's server is not a URL such as https://host:6443".to_owned();
    let url: Uri = whole.parse().map_err(|_| wrong())?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(url),
        _ => Err(wrong()),
    }
}

/// The credentials that are to be used, of those that are given.
fn credentials(mut user: AuthInfo, files: &mut Files<'_>) -> Result<AuthInfo, String> {
    certificate(&mut user, files)?;
    token(&mut user, files)?;
    if user.username.is_some() {
        user.password.get_or_insert_with(|| String::new().into());
    } else {
        user.password = None;
    }
    if user.username.is_some() && user.token.is_some() {
        return Err("its user has both a token and a username; keep one of them".to_owned());
    }
    if user.exec.is_some() && user.auth_provider.is_some() {
        return Err("its user has both an exec plugin and an auth-provider; keep one of them".to_owned());
    }
    if user.exec.as_ref().is_some_and(|exec| exec.command.as_ref().is_none_or(String::is_empty)) {
        return Err("its user's exec plugin has no command".to_owned());
    }
    Ok(user)
}

fn certificate(user: &mut AuthInfo, files: &mut Files<'_>) -> Result<(), String> {
    if user.client_certificate.is_none() && user.client_certificate_data.is_none() {
        // A key alone is passed over, as kubectl does.
        (user.client_key, user.client_key_data) = (None, None);
        return Ok(());
    }
    match (user.client_certificate_data.take(), &user.client_certificate) {
        (Some(data), _) => {
            let data = without_blanks(&data);
            decode(&data, "client-certificate-data")?;
            user.client_certificate_data = Some(data);
            user.client_certificate = None;
        }
        (None, Some(path)) => drop(files.read("client-certificate", path)?),
        (None, None) => {}
    }
    match (user.client_key_data.take(), &user.client_key) {
        (Some(data), _) => {
            let data = without_blanks(data.expose_secret());
            decode(&data, "client-key-data")?;
            user.client_key_data = Some(data.into());
            user.client_key = None;
        }
        (None, Some(path)) => drop(files.read("client-key", path)?),
        (None, None) => {
            return Err("client-key: neither data nor a file is given, but client-certificate needs it".to_owned());
        }
    }
    Ok(())
}

/// The file's token where there is one, else the one that is written down.
fn token(user: &mut AuthInfo, files: &mut Files<'_>) -> Result<(), String> {
    let written = user.token.take().map(|token| token.expose_secret().trim().to_owned());
    let of_file = user.token_file.take().map(|path| {
        let bytes = files.read("tokenFile", &path)?;
        let text = String::from_utf8(bytes).map_err(|_| format!("tokenFile: {path} is not UTF-8 text"))?;
        match text.trim() {
            "" => Err(format!("tokenFile: {path} is empty")),
            token => Ok(token.to_owned()),
        }
    });
    let token = match (of_file, written) {
        (Some(Ok(token)), _) | (Some(Err(_)) | None, Some(token)) => token,
        (Some(Err(what)), None) => return Err(what),
        (None, None) => return Ok(()),
    };
    if HeaderValue::from_str(&token).is_err() {
        return Err(
            "its token holds characters that no HTTP header can, as a line break; write it in one line".to_owned()
        );
    }
    user.token = Some(token.into());
    Ok(())
}

fn is_anonymous(user: &AuthInfo) -> bool {
    let has_certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
    let has_word = user.token.is_some() || user.username.is_some();
    !has_certificate && !has_word && user.exec.is_none() && user.auth_provider.is_none()
}

/// Base64 may be wrapped.
fn without_blanks(data: &str) -> String {
    data.chars().filter(|c| !c.is_whitespace()).collect()
}

fn decode(data: &str, field: &str) -> Result<Vec<u8>, String> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| format!("{field}: the data is not base64"))
}

fn proxy_for(own: Option<String>, server: &Uri, proxy: &Proxy) -> Result<Option<Uri>, String> {
    let applies = |url: &str| {
        let except = proxy.except.as_deref().unwrap_or_default();
        Matcher::builder().all(url).no(except).build().intercept(server).is_some()
    };
    let (url, whose) = match (own, &proxy.url) {
        (Some(own), _) => (own, "its cluster's proxy-url"),
        (None, Some(url)) if applies(url) => (url.clone(), "HTTPS_PROXY in the environment"),
        _ => return Ok(None),
    };
    let url = url.trim();
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    url.parse().map(Some).map_err(|_| format!("{whose} is not a URL such as http://host:3128"))
}
