//! A certificate authority whose key is kept in a folder.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// How long an issued certificate is valid.
const VALID: Duration = Duration::days(90);

/// Clocks differ; a certificate is valid from a little before it was issued.
const SKEW: Duration = Duration::minutes(5);

/// The authority's certificate in its folder.
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// What can be wrong with an authority or what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file of the authority.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A name that no certificate can be issued for, or a key that is none.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, both PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key that it was issued for.
    pub key: String,
}

impl Authority {
    /// The authority in `folder`, made with the common name `name` if there is none yet.
    pub fn open(folder: &Path, name: &str) -> Result<Self, AuthorityError> {
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        if !certificate.exists() {
            return Self::create(folder, name);
        }
        let read = |path: PathBuf| fs::read_to_string(&path).map_err(|source| AuthorityError::File { path, source });
        let pem = read(certificate)?;
        let issuer = Issuer::from_ca_cert_pem(&pem, KeyPair::from_pem(&read(key)?)?)?;
        Ok(Self { issuer, pem })
    }

    fn create(folder: &Path, name: &str) -> Result<Self, AuthorityError> {
        fs::create_dir_all(folder).map_err(|source| AuthorityError::File { path: folder.to_owned(), source })?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        // The certificate last: where it is, the key is.
        write(folder.join(KEY), &key.serialize_pem(), 0o600)?;
        write(folder.join(CERTIFICATE), &pem, 0o644)?;
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A new key and a server certificate for `fqdn`, valid for 90 days from now.
    pub fn issue(&self, fqdn: &str) -> Result<Issued, AuthorityError> {
        let now = OffsetDateTime::from(SystemTime::now());
        let mut params = CertificateParams::new(vec![fqdn.to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, fqdn);
        params.not_before = now - SKEW;
        params.not_after = now + VALID;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn write(path: PathBuf, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let opened = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| AuthorityError::File { path, source })
}
