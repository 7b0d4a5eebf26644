//! Running cases, and telling people how it went.

use std::fmt;

use serde::Serialize;

use crate::answer::{Answer, Failure};
use crate::case::{Call, Case};
use crate::compare::Difference;

/// What answers calls: a plugin natively, or its component in the sandbox.
pub trait Executor {
    /// Answers a call under these settings, given as JSON, `null` where there are none.
    ///
    /// # Errors
    ///
    /// Why there is no answer; that the settings, filters or a configuration are invalid is such a failure too.
    fn execute(&mut self, settings: &str, call: &Call) -> Result<Answer, Failure>;

    /// What the plugin logged in the last call, line by line.
    fn log(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// One case that was run.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// The case's name.
    pub name: String,
    /// The file that it is from.
    pub file: String,
    /// Which of the file's documents it is, from 1.
    pub document: usize,
    /// Where the answer is not what was expected; none: the case passed.
    pub differences: Vec<Difference>,
    /// What the plugin logged, where the case failed.
    pub log: Vec<String>,
}

impl Tried {
    /// What came of a case.
    pub fn new(case: &Case, answer: &Result<Answer, Failure>, log: Vec<String>) -> Self {
        let differences = case.compare(answer);
        Self {
            name: case.name.clone(),
            file: case.file.clone(),
            document: case.document,
            log: if differences.is_empty() { Vec::new() } else { log },
            differences,
        }
    }

    /// Whether the answer was the expected one.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// How all cases went.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Every case, in the order of the files and documents.
    pub cases: Vec<Tried>,
}

impl Report {
    /// Whether every case passed.
    pub fn passed(&self) -> bool {
        self.cases.iter().all(Tried::passed)
    }
}

impl fmt::Display for Report {
    /// The cases that failed, and a line with the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: Vec<&Tried> = self.cases.iter().filter(|case| !case.passed()).collect();
        for case in &failed {
            writeln!(f, "FAILED {}\n  {}, document {}", case.name, case.file, case.document)?;
            for difference in &case.differences {
                writeln!(f, "  {}", difference.to_string().replace('\n', "\n  "))?;
            }
            for line in &case.log {
                writeln!(f, "  log: {line}")?;
            }
        }
        write!(f, "{} of {} cases passed", self.cases.len() - failed.len(), self.cases.len())
    }
}

/// Runs cases one after the other.
pub fn run(cases: &[Case], executor: &mut impl Executor) -> Report {
    let tried = cases.iter().map(|case| {
        let answer = executor.execute(&case.settings_json(), &case.call);
        let log = executor.log();
        Tried::new(case, &answer, log)
    });
    Report { cases: tried.collect() }
}
