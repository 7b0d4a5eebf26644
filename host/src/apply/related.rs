//! Brings one related resource from a provider beside a consumer object, or into the compute cluster.

use std::sync::Arc;

use resource_broker_api::{conditions::reason, names::Role, object::Object};

use super::{
    Answer, Apply, Done, Fault, Learned,
    faults::{self, fault, found, unaddressable},
    parse,
};
use crate::{
    planner::{
        model::snapshot::Part,
        plan::{CopyRelated, Existing, Marks, findings::Finding},
        sync::{
            claims::{self, Withheld},
            related,
        },
    },
    transport::RequestError,
};

/// A consumer's namespace is there as long as its object is; the compute cluster's is for the operator to make.
fn lacking_namespace(request: &CopyRelated, error: &RequestError, part: Part) -> Option<Fault> {
    let target = &request.target;
    (target.cluster.role == Role::Compute).then(|| faults::lacking_namespace(target, error, part)).flatten()
}

impl Apply {
    pub(super) async fn copy_related(&self, request: &CopyRelated, part: Part) -> Done {
        let Some(source) = self.read(&request.source, part).await? else {
            return self.source_is_gone(request, part).await;
        };
        // Whose it is may be another's by now, or could not be seen before.
        let claims = self.cache.claims(&request.by.copy, &request.source, &source);
        match claims::contested(&request.source, &request.by.copy.name, &claims, &source) {
            None => {}
            Some(Withheld::Refused(finding)) => return Err(found(finding, "related", part)),
            Some(Withheld::Unknown(why, _)) => return Err(Fault::Again(why)),
        }
        let existing = match &request.existing {
            Existing::NoneOfOurs => None,
            Existing::Ours(there) => Some(there.clone()),
            Existing::Unknown => self.read(&request.target, part).await?.map(Arc::new),
        };
        let untouched = match (&request.existing, &existing) {
            (Existing::Unknown, Some(there)) => related::may_replace(there, &request.marks) && !there.touched_by_others,
            _ => request.untouched,
        };
        if untouched && existing.as_ref().is_some_and(|there| related::is_of(there, &source)) {
            return Ok(vec![]);
        }
        let _name = match &request.marks {
            Marks::Mirror { id, .. } if existing.is_none() => Some(self.take_mirror_name(&request.target, id)?),
            _ => None,
        };
        let result = match &existing {
            Some(there) => self.put_related(request, &source, there, part).await,
            None => match self.create_related(request, &source, part).await? {
                Err(error) if error.is_conflict() => match self.read(&request.target, part).await? {
                    Some(there) => self.put_related(request, &source, &there, part).await,
                    None => return Err(Fault::Again(format!("{} has just gone", request.target))),
                },
                Ok(reply) => parse(&request.target, &reply, part),
                Err(error) => Err(lacking_namespace(request, &error, part).unwrap_or_else(|| match part {
                    Part::Migration => faults::refused(&request.target.to_string(), &error, part),
                    _ => fault(&error, part),
                })),
            },
        };
        let object = result?;
        self.took(&request.target, &object);
        tracing::info!(from = %request.source, to = %request.target, "copied a related resource");
        if matches!(request.marks, Marks::Mirror { .. }) {
            self.recall(&request.target, &object).await?;
        }
        let version = object.resource_version().to_owned();
        Ok(vec![Learned::Related(request.target.gvk.clone(), request.target.name.clone(), version)])
    }

    async fn source_is_gone(&self, request: &CopyRelated, part: Part) -> Done {
        let there = match &request.existing {
            Existing::Ours(there) => Some(there.clone()),
            Existing::NoneOfOurs => None,
            Existing::Unknown => self.read(&request.target, part).await?.map(Arc::new),
        };
        if let Some(there) = there.filter(|there| related::may_take_away(there, request)) {
            self.lives(&request.by.copy, &request.by.uid).await?;
            self.delete(&request.target, there.uid(), part).await?;
        }
        let message = format!("{} declares {}, but it is not there yet", request.source.cluster, request.source);
        Err(found(Finding::no(reason::RELATED_MISSING, message), "related", part))
    }

    async fn create_related(&self, request: &CopyRelated, source: &Object, part: Part) -> Result<Answer, Fault> {
        let target = &request.target;
        let (_, resource) = self.place(target, part).await?;
        let cluster = self.cluster_to_change(target, part)?;
        let body = related::document(source, request, None).map_err(|finding| found(finding, "related", part))?;
        let create = resource.create(target.namespace.as_deref(), &body);
        Ok(cluster.request(create.map_err(|error| unaddressable(target, &error, part))?).await)
    }

    async fn put_related(
        &self,
        request: &CopyRelated,
        source: &Object,
        there: &Object,
        part: Part,
    ) -> Result<Object, Fault> {
        let target = &request.target;
        if !related::may_replace(there, &request.marks) {
            let message = format!(
                "{} is declared as a related resource, but {target} exists and is not the broker's; rename or delete that one",
                request.source
            );
            return Err(found(Finding::no(reason::RELATED_CONFLICT, message), "related", part));
        }
        let body =
            related::document(source, request, Some(there)).map_err(|finding| found(finding, "related", part))?;
        let (_, resource) = self.place(target, part).await?;
        let cluster = self.cluster_to_change(target, part)?;
        let put = resource.replace(target.namespace.as_deref(), &target.name, &body);
        let put = put.map_err(|error| unaddressable(target, &error, part))?;
        match cluster.request(put).await {
            Ok(reply) => parse(target, &reply, part),
            Err(error) if error.is_invalid() => self.renew_related(request, source, there, part, &error).await,
            Err(error) => Err(fault(&error, part)),
        }
    }

    /// The type of a Secret and an immutable one cannot be changed: it is made anew. What could not be made either is `refused`
    /// for another reason, and what is there stays.
    async fn renew_related(
        &self,
        request: &CopyRelated,
        source: &Object,
        there: &Object,
        part: Part,
        refused: &RequestError,
    ) -> Result<Object, Fault> {
        let target = &request.target;
        let body = related::document(source, request, None).map_err(|finding| found(finding, "related", part))?;
        let (_, resource) = self.place(target, part).await?;
        let attempt = resource.try_create(target.namespace.as_deref(), &body);
        let attempt = attempt.map_err(|error| unaddressable(target, &error, part))?;
        // An API server looks at the content before it finds the name taken.
        match self.cluster_to_change(target, part)?.request(attempt).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            Err(_) => return Err(fault(refused, part)),
        }
        self.delete(target, there.uid(), part).await?;
        match self.create_related(request, source, part).await? {
            Ok(reply) => parse(target, &reply, part),
            Err(error) if error.is_conflict() => Err(Fault::Again(format!("{target} is still going"))),
            Err(error) => Err(fault(&error, part)),
        }
    }
}
