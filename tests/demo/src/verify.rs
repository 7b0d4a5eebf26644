//! Reads an issued certificate and checks it against its authority.

use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use rcgen::{KeyPair, PublicKeyData};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::time::ASN1Time;

/// What a person wants to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whom it is for, as `CN=…`.
    pub subject: String,
    /// Who issued it, as `CN=…`.
    pub issuer: String,
    /// The DNS names that it holds for.
    pub names: Vec<String>,
    /// When it ends, as `2026-01-31`.
    pub not_after: String,
}

/// Checks the certificate of a `kubernetes.io/tls` Secret: signed by `authority` (PEM), valid now, and fitting its key.
pub fn secret(secret: &Secret, authority: &str) -> Result<Facts> {
    let data = secret.data.as_ref().context("a Secret without data")?;
    let file = |name: &str| data.get(name).map(|bytes| &bytes.0).with_context(|| format!("a Secret without {name}"));
    let certificate = file("tls.crt")?;
    let key = KeyPair::from_pem(&String::from_utf8_lossy(file("tls.key")?)).context("tls.key")?;
    certificate_and_key(certificate, &key, authority)
}

fn certificate_and_key(certificate: &[u8], key: &KeyPair, authority: &str) -> Result<Facts> {
    let (certificate, authority) = (pem(certificate, "tls.crt")?, pem(authority.as_bytes(), "the authority")?);
    let (leaf, root) = (certificate.parse_x509().context("tls.crt")?, authority.parse_x509().context("the authority")?);
    let facts = Facts {
        subject: leaf.subject().to_string(),
        issuer: leaf.issuer().to_string(),
        names: dns_names(&leaf)?,
        not_after: date(leaf.validity().not_after),
    };
    ensure!(leaf.issuer() == root.subject(), "issued by {}, not by {}", facts.issuer, root.subject());
    leaf.verify_signature(Some(root.public_key()))
        .with_context(|| format!("{} is not signed with the key of {}", facts.subject, facts.issuer))?;
    let now = OffsetDateTime::from(SystemTime::now());
    ensure!(leaf.validity().is_valid_at(ASN1Time::from(now)), "{} is not valid now", facts.subject);
    ensure!(leaf.public_key().raw == key.subject_public_key_info(), "tls.key is not the key of {}", facts.subject);
    Ok(facts)
}

fn pem(bytes: &[u8], what: &str) -> Result<Pem> {
    Ok(parse_x509_pem(bytes).with_context(|| format!("{what} is not PEM"))?.1)
}

fn dns_names(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Result<Vec<String>> {
    let extension = certificate.subject_alternative_name().context("the names of tls.crt")?;
    let names = extension.map(|extension| &extension.value.general_names);
    let dns = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Ok(dns.collect())
}

fn date(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}
