//! Public suffixes: domains below which strangers register names, such as `com`, `co.uk` and `github.io`.
//!
//! The complete list of the world's public suffixes has some 10,000 rules and, as code, adds 0.9 MB to a component. So this
//! module has the common rules alone: every top-level domain, the second-level registries of the larger country domains,
//! and the suffixes of well-known hosting services. The plugin's settings add to it and take from it.

/// Second-level registries, by country domain: `uk` has `co.uk`, `org.uk`, ….
const REGISTRIES: &[(&str, &str)] = &[
    ("ae", "ac co gov mil net org sch"),
    ("ar", "com edu gob gov int mil net org tur"),
    ("at", "ac co gv or"),
    ("au", "asn com edu gov id net org"),
    ("bd", "ac com edu gov mil net org"),
    ("br", "adm adv art blog com eco edu emp eng gov ind jus leg med mil net org srv tv"),
    ("cl", "co gob gov mil"),
    ("cn", "ac com edu gov mil net org"),
    ("co", "com edu gov mil net nom org"),
    ("cr", "ac co ed fi go or sa"),
    ("cy", "ac biz com ekloges gov ltd mil net org press pro tm"),
    ("ec", "com edu fin gob gov info med mil net org pro"),
    ("eg", "com edu gov mil net org sci"),
    ("es", "com edu gob nom org"),
    ("fj", "ac biz com gov info mil name net org pro"),
    ("fr", "asso com gouv nom prd tm"),
    ("gr", "com edu gov net org"),
    ("hk", "com edu gov idv net org"),
    ("hu", "co info org priv sport tm"),
    ("id", "ac biz co desa go mil my net or sch web"),
    ("il", "ac co gov idf k12 muni net org"),
    ("in", "ac co edu firm gen gov ind mil net nic org res"),
    ("ir", "ac co gov id net org sch"),
    ("it", "edu gov"),
    ("jp", "ac ad co ed go gr lg ne or"),
    ("ke", "ac co go info me mobi ne or sc"),
    ("kr", "ac co es go hs kg mil ms ne or pe re sc"),
    ("lk", "ac com edu gov hotel int ltd net ngo org sch soc web"),
    ("ma", "ac co gov net org press"),
    ("mx", "com edu gob net org"),
    ("my", "biz com edu gov mil name net org"),
    ("ng", "com edu gov i mil mobi name net org sch"),
    ("nz", "ac co cri geek gen govt health iwi kiwi mil net org parliament school"),
    ("pe", "com edu gob mil net nom org"),
    ("ph", "com edu gov i mil net ngo org"),
    ("pk", "ac com edu fam gob gok gon gop gos gov net org web"),
    ("pl", "biz com edu gov info net org waw"),
    ("pt", "com edu gov int net nome org publ"),
    ("ro", "arts com firm info nom nt org rec store tm www"),
    ("rs", "ac co edu gov in org"),
    ("ru", "ac edu gov int mil"),
    ("sa", "com edu gov med net org pub sch"),
    ("se", "ac org pp tm"),
    ("sg", "com edu gov net org per"),
    ("th", "ac co go in mi net or"),
    ("tr", "av bbs bel biz com dr edu gen gov info k12 mil name net org pol tel tv web"),
    ("tw", "club com ebiz edu game gov idv mil net org"),
    ("tz", "ac co go hotel info me mil mobi ne or sc tv"),
    ("ua", "com edu gov in kiev kyiv lviv net odessa org"),
    ("ug", "ac co com go ne or org sc"),
    ("uk", "ac co gov ltd me net nhs org plc police sch"),
    ("uy", "com edu gub mil net org"),
    ("ve", "co com edu gob gov info mil net org web"),
    ("vn", "ac biz com edu gov health info int name net org pro"),
    ("za", "ac co edu gov law mil net nom org school web"),
    ("zm", "ac co com edu gov net org sch"),
    ("zw", "ac co gov mil org"),
];

/// Domains of services that give each of their customers a name below them.
const SERVICES: &[&str] = &[
    "appspot.com",
    "azurecontainerapps.io",
    "azurewebsites.net",
    "blogspot.com",
    "cloudapp.azure.com",
    "cloudapp.net",
    "cloudfront.net",
    "duckdns.org",
    "dyndns.org",
    "elasticbeanstalk.com",
    "eu.org",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "netlify.app",
    "ngrok.io",
    "no-ip.org",
    "onrender.com",
    "pages.dev",
    "r2.dev",
    "run.app",
    "s3.amazonaws.com",
    "sharepoint.com",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// The built-in suffixes with an operator's changes to them. Domains are in the form in which names are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suffixes {
    /// Domains that are public suffixes here.
    pub added: Vec<String>,
    /// Domains that are none here.
    pub removed: Vec<String>,
}

impl Suffixes {
    /// Whether a domain, given by its labels from left to right, is a public suffix.
    pub fn contains(&self, labels: &[String]) -> bool {
        let domain = labels.join(".");
        if self.removed.contains(&domain) {
            return false;
        }
        self.added.contains(&domain) || is_registry(labels) || SERVICES.contains(&domain.as_str())
    }
}

fn is_registry(labels: &[String]) -> bool {
    match labels {
        [_] => true,
        [second, top] => REGISTRIES
            .iter()
            .find(|(country, _)| country == top)
            .is_some_and(|(_, seconds)| seconds.split(' ').any(|registry| registry == second)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_public(suffixes: &Suffixes, domain: &str) -> bool {
        let labels: Vec<String> = domain.split('.').map(str::to_owned).collect();
        suffixes.contains(&labels)
    }

    #[test]
    fn registries_and_services_are_public_and_what_is_below_them_is_not() {
        let suffixes = Suffixes::default();
        for domain in ["com", "uk", "internal", "co.uk", "com.au", "co.jp", "github.io", "cloudapp.azure.com"] {
            assert!(is_public(&suffixes, domain), "{domain}");
        }
        for domain in ["corp.com", "corp.co.uk", "uk.co", "me.github.io", "co.com", "azure.com", "a.b.c"] {
            assert!(!is_public(&suffixes, domain), "{domain}");
        }
    }

    #[test]
    fn settings_add_and_take_away() {
        let suffixes = Suffixes { added: vec!["apps.corp.com".to_owned()], removed: vec!["internal".to_owned()] };
        assert!(is_public(&suffixes, "apps.corp.com"));
        assert!(!is_public(&suffixes, "internal"));
        assert!(is_public(&suffixes, "com"));
    }

    #[test]
    fn the_lists_are_sorted_and_in_lower_case() {
        assert!(REGISTRIES.is_sorted_by_key(|(country, _)| country));
        assert!(SERVICES.is_sorted());
        for (country, seconds) in REGISTRIES {
            let seconds: Vec<&str> = seconds.split(' ').collect();
            assert!(seconds.is_sorted(), "{country}");
            assert!(seconds.iter().all(|second| second.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
        }
    }
}
