//! Which job of a CI system a process runs, by its environment. It is here because the same environment
//! holds the job's secrets: these stay in [`SecretBytes`], and only the job's name leaves.

use std::path::PathBuf;

use super::secret::{self, ReadError, SecretBytes};
use crate::model::Selector;

/// The largest environment that is read, in bytes.
const MAX_ENVIRONMENT: u64 = 1 << 20;

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CiSystem {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Jenkins.
    Jenkins,
    /// Buildkite.
    Buildkite,
}

impl CiSystem {
    /// The system's word in selectors, and the variables whose values name a job, joined by `/`.
    fn words(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::GitHub => ("github", &["GITHUB_REPOSITORY"]),
            Self::GitLab => ("gitlab", &["CI_PROJECT_PATH"]),
            Self::Jenkins => ("jenkins", &["JOB_NAME"]),
            Self::Buildkite => (
                "buildkite",
                &["BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG"],
            ),
        }
    }
}

/// The job of a process, by the environment that its program was started with. `None` where that names
/// none.
///
/// # Errors
/// When the environment cannot be read: the process is gone, or this one may not trace it.
pub fn job_of(pid: u32, system: CiSystem) -> Result<Option<Selector>, ReadError> {
    let path = PathBuf::from(format!("/proc/{pid}/environ"));
    let content = SecretBytes::read(&secret::open(&path)?, MAX_ENVIRONMENT)?;
    Ok(job(content.expose(), system))
}

fn job(environment: &[u8], system: CiSystem) -> Option<Selector> {
    let (word, names) = system.words();
    let parts: Option<Vec<&str>> = names.iter().map(|name| value(environment, name)).collect();
    Selector::ci_job(word, &parts?.join("/"))
}

/// The value of a variable, where it could be the name of a project: no white space, and not long.
fn value<'a>(environment: &'a [u8], name: &str) -> Option<&'a str> {
    const LONGEST: usize = 256;
    let mut words = environment.split(|byte| *byte == 0);
    let value = words.find_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    let value = std::str::from_utf8(value).ok()?;
    let is_usual = |c: char| c.is_alphanumeric() || "-_./ %+@".contains(c);
    (!value.is_empty() && value.len() <= LONGEST && value.chars().all(is_usual)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_its_own_systems_variables() {
        let environment =
            b"PATH=/bin\0GITHUB_REPOSITORY=org/repo\0GITHUB_TOKEN=ghs_x\0XJOB_NAME=no\0\
            CI_PROJECT_PATH=group/sub/project\0BUILDKITE_PIPELINE_SLUG=web\0\
            BUILDKITE_ORGANIZATION_SLUG=acme\0JOB_NAME=team/nightly\0";
        for (system, named) in [
            (CiSystem::GitHub, "ci:github:org/repo"),
            (CiSystem::GitLab, "ci:gitlab:group/sub/project"),
            (CiSystem::Jenkins, "ci:jenkins:team/nightly"),
            (CiSystem::Buildkite, "ci:buildkite:acme/web"),
        ] {
            let of = job(environment, system);
            assert_eq!(of.as_ref().map(Selector::as_str), Some(named));
            assert_eq!(job(b"PATH=/bin\0", system), None);
        }
        for bad in ["", "a\nb", "a\u{1b}[31m", &"x".repeat(300), "a b"] {
            let environment = format!("GITHUB_REPOSITORY={bad}\0");
            assert_eq!(
                job(environment.as_bytes(), CiSystem::GitHub),
                None,
                "{bad:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_environment_is_read(bytes: Vec<u8>, text in "(JOB_NAME=|\\x00|\\PC){0,9}") {
            let _ = (job(&bytes, CiSystem::GitHub), job(text.as_bytes(), CiSystem::Jenkins));
        }
    }
}
