//! What is to be done with a page of documentation.
//!
//! - A block that begins with ```` ```sh ```` is run.
//! - A block that begins with ```` ```text ```` shows lines of the last run's output, `…` standing for what differs from
//!   time to time.
//! - A line `<!-- checked: NAME -->` has an outcome looked at that is called so.
//!
//! All other blocks are for reading.

use anyhow::{Context, Result, bail};

/// One thing to do, with the number of the line where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) task: Task,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Run(String),
    Show(String),
    Check(String),
}

/// The steps of a page, in their order.
pub(crate) fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((text, line)) = lines.next() {
        if let Some(language) = text.strip_prefix("```") {
            let mut block = String::new();
            loop {
                let (text, _) = lines.next().with_context(|| format!("the block in line {line} has no end"))?;
                if text == "```" {
                    break;
                }
                block.push_str(text);
                block.push('\n');
            }
            match language {
                "sh" => steps.push(Step { line, task: Task::Run(block) }),
                "text" => steps.push(Step { line, task: Task::Show(block) }),
                "console" | "yaml" | "rust" => {}
                other => bail!("line {line}: nothing is known to do with a block of {other:?}"),
            }
        } else if let Some(name) = text.strip_prefix("<!-- checked: ") {
            let name = name.strip_suffix(" -->").with_context(|| format!("line {line}: a comment without an end"))?;
            steps.push(Step { line, task: Task::Check(name.to_owned()) });
        }
    }
    Ok(steps)
}

/// The first line of `shown` that `output` does not have.
pub(crate) fn missing<'a>(shown: &'a str, output: &str) -> Option<&'a str> {
    let output: Vec<String> = output.lines().map(squeezed).collect();
    shown.lines().find(|line| {
        let line = squeezed(line);
        !output.iter().any(|there| fits(&line, there))
    })
}

/// Columns are as wide as what stands in them.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `line` is `pattern`, with something in place of each `…`.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((first, pieces)) = pattern.split_once('…') else { return pattern == line };
    let (middle, last) = pieces.rsplit_once('…').unwrap_or(("", pieces));
    let Some(mut rest) = line.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    middle.split('…').all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn blocks_and_checks_come_in_their_order_with_their_lines() {
    let page = "# Title\n```sh\na\nb\n```\ntext\n```console\n$ c\n```\n```text\nd …\n```\n<!-- checked: e -->\n";
    let step = |line, task| Step { line, task };
    assert_eq!(
        steps(page).unwrap(),
        [
            step(2, Task::Run("a\nb\n".to_owned())),
            step(10, Task::Show("d …\n".to_owned())),
            step(13, Task::Check("e".to_owned())),
        ]
    );
    for wrong in ["```sh\na\n", "```bash\na\n```\n", "<!-- checked: e\n"] {
        steps(wrong).unwrap_err();
    }
}

#[test]
fn shown_lines_are_there_but_for_what_is_left_open() {
    let output = "NAME   AGE\nevil   3s\nsize 12 KiB (12,345 bytes)\n";
    for there in ["NAME AGE", "evil …", "… 3s", "size … KiB (… bytes)", "NAME AGE\nevil   …"] {
        assert_eq!(missing(there, output), None, "{there}");
    }
    for absent in ["NAME", "good …", "evil … 4s", "size … KiB (… bits)", "size … bytes) … KiB"] {
        assert_eq!(missing(absent, output), Some(absent));
    }
}
