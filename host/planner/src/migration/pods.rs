//! The pods of a stage's Jobs, which outlive them: a Job that is deleted is gone at once, while its pods are given time to end
//! and may write until then.

use std::time::Duration;

use resource_broker_api::broker::StageResource;

use crate::{
    migration::{progress::Progress, under_way::UnderWay},
    model::question::{PodsOf, Questions},
};

/// How often pods that still end are looked at: nobody watches them.
const PACE: Duration = Duration::from_secs(3);
/// The longest name that a Job can have: pods bear it in a label.
const LONGEST: usize = 63;

/// What is waited for (for `reason`) as long as pods of Jobs among `resources` have not ended; `None` where all have.
///
/// # Errors
///
/// The question whether they have.
pub(crate) fn ending<'r>(
    under_way: UnderWay<'_>,
    resources: impl IntoIterator<Item = &'r StageResource>,
    reason: &'static str,
) -> Result<Option<Progress>, Box<Questions>> {
    let jobs: Vec<String> =
        resources.into_iter().filter(|it| is_job(it)).map(|resource| resource.name.clone()).collect();
    if jobs.is_empty() {
        return Ok(None);
    }
    let compute = &under_way.snapshot.migration.compute;
    let (cluster, namespace, names) = (&compute.cluster, &compute.namespace, jobs.join(", "));
    let message = match &under_way.answers.pods {
        None => {
            let pods = PodsOf { cluster: cluster.clone(), namespace: namespace.clone(), jobs };
            return Err(Box::new(Questions { pods: Some(pods), ..Questions::default() }));
        }
        Some(Ok(pods)) if pods.is_empty() => return Ok(None),
        Some(Ok(pods)) => {
            format!("pods of Job {names} still end in {cluster} {namespace}: {}", pods.join(", "))
        }
        Some(Err(why)) => format!("whether pods of Job {names} still run cannot be told: {why}"),
    };
    Ok(Some(under_way.waits(reason, message).again_in(Some(PACE))))
}

/// Whether a stage resource is a Job whose pods can be found by its name.
pub(crate) fn is_job(resource: &StageResource) -> bool {
    resource.gvk.group == "batch" && resource.gvk.kind == "Job" && resource.name.len() <= LONGEST
}
