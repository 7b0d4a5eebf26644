//! Open files: each watch holds a connection, and so does each request, so that many clusters need many of them.

use std::error::Error;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files as far as the process may, which is what servers are expected to do: the low one is
/// there for programs that cannot count further. Where that fails, all stays as it was.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(before = current, now = maximum, "the limit of open files is raised"),
        Err(error) => tracing::warn!(%error, limit = current, "the limit of open files cannot be raised"),
    }
}

/// What to say where an error, or what lies behind it, is that there are too many open files.
pub fn exhaustion(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if is_exhaustion(&error.to_string()) {
            let limit = getrlimit(Resource::Nofile).current;
            let limit = limit.map_or_else(|| "without end".to_owned(), |limit| limit.to_string());
            return Some(format!(
                "too many open files: raise the limit of open files (ulimit -Hn, LimitNOFILE of systemd, or the container \
                 runtime's), now {limit}; each cluster takes some 10 of them and each watched kind one more"
            ));
        }
        next = error.source();
    }
    None
}

/// The system's own words, in which libraries pass it on.
fn is_exhaustion(text: &str) -> bool {
    text.contains("Too many open files") || text.contains("os error 24)") || text.contains("os error 23)")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Outer(#[source] io::Error);

    #[test]
    fn what_ran_out_is_named() {
        for code in [23, 24] {
            let error = Outer(io::Error::from_raw_os_error(code));
            let text = exhaustion(&error).unwrap();
            assert!(text.starts_with("too many open files: raise the limit of open files"), "{text}");
            assert!(text.contains("now "), "{text}");
        }
        assert_eq!(exhaustion(&Outer(io::Error::from_raw_os_error(2))), None);
    }
}
