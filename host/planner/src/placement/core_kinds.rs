//! Kinds that every API server has of its own: what a server or a controller sets in them is not the consumer's to copy, and
//! what a cluster makes by itself is not an order.

use resource_broker_api::{keys, names::Gvk, object::Object};
use serde_json::{Map, Value};

/// The API groups that come with an API server. Other groups below `k8s.io` are custom resources like any other.
const GROUPS: [&str; 24] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Namespaces that a cluster keeps for itself.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Where a service account's token is mounted in every container.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the job controller writes on the pods of a Job that does not select them itself.
const JOB_LABELS: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

fn is_core(group: &str) -> bool {
    GROUPS.contains(&group)
}

/// Why a kind cannot be brokered at all.
pub fn refused(gvk: &Gvk) -> Option<&'static str> {
    if gvk.group == keys::GROUP {
        return Some("it is the broker's own kind");
    }
    if !is_core(&gvk.group) {
        return None;
    }
    match gvk.group.as_str() {
        "authentication.k8s.io" | "authorization.k8s.io" => return Some("its objects are questions and are not kept"),
        "apiregistration.k8s.io" | "apiextensions.k8s.io" | "internal.apiserver.k8s.io" | "storagemigration.k8s.io" => {
            return Some("its objects say what an API server serves");
        }
        "discovery.k8s.io" | "events.k8s.io" | "coordination.k8s.io" => {
            return Some("its objects are made by controllers of the cluster that they are in");
        }
        _ => {}
    }
    match gvk.kind.as_str() {
        "Event" | "Endpoints" | "ControllerRevision" => {
            Some("its objects are made by controllers of the cluster that they are in")
        }
        "Node" | "CSINode" | "VolumeAttachment" | "CSIStorageCapacity" | "ComponentStatus" | "PersistentVolume" => {
            Some("its objects stand for parts of the cluster that they are in")
        }
        "Namespace" => Some("the broker makes the namespaces of its copies itself, and a copied one would be empty"),
        "Binding" => Some("its objects are not kept"),
        _ => None,
    }
}

/// What people should know who broker a kind.
pub fn warning(gvk: &Gvk) -> Option<&'static str> {
    if !is_core(&gvk.group) {
        return None;
    }
    match gvk.kind.as_str() {
        "Pod"
        | "Job"
        | "CronJob"
        | "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController" => Some(
            "a consumer cluster with controllers and nodes of its own runs these objects too: broker them only from \
                 consumers that run nothing, as workspaces do",
        ),
        "PersistentVolumeClaim" => Some(
            "a consumer cluster with a storage provisioner of its own makes a volume for each of them too; what they hold is \
             not copied",
        ),
        "Service" => Some(
            "a copy selects pods of the provider cluster; addresses, node ports and IP families are given out there anew",
        ),
        "ServiceAccount" => Some("tokens are not copied: a copy is another identity, at the provider"),
        "Secret" => {
            Some("every Secret that an offer accepts is copied, with what it holds: let offers' filters be narrow")
        }
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => {
            Some("consumers grant rights in provider clusters with it")
        }
        "MutatingWebhookConfiguration"
        | "ValidatingWebhookConfiguration"
        | "PriorityClass"
        | "RuntimeClass"
        | "StorageClass"
        | "FlowSchema"
        | "PriorityLevelConfiguration" => Some("a copy holds for all that is in the provider cluster"),
        _ => None,
    }
}

/// Why an object is the cluster's own, and no order.
pub(crate) fn of_the_cluster(gvk: &Gvk, object: &Object) -> Option<String> {
    if !is_core(&gvk.group) {
        return None;
    }
    if object.namespace().is_some_and(|namespace| SYSTEM_NAMESPACES.contains(&namespace)) {
        return Some("its namespace is one that a cluster keeps for itself".into());
    }
    let is_made = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => (object.namespace(), object.name()) == (Some("default"), "kubernetes"),
        ("", "ConfigMap") => matches!(object.name(), "kube-root-ca.crt" | "openshift-service-ca.crt"),
        ("", "ServiceAccount") => object.name() == "default",
        ("", "Secret") => is_token(object),
        _ => object.namespace().is_none() && object.name().starts_with("system:"),
    };
    if is_made || object.label("kubernetes.io/bootstrapping").is_some() {
        return Some("every cluster makes it by itself".into());
    }
    let mut owners = object.meta.owner_references.iter().flatten();
    let owner = owners.find(|owner| {
        let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        owner.controller == Some(true) && is_core(group)
    });
    owner.map(|owner| format!("it is a part of {} {}, whose controller makes it where that is", owner.kind, owner.name))
}

/// A Secret that gives access to the API server of its own cluster.
fn is_token(secret: &Object) -> bool {
    let kind = secret.field("type");
    matches!(
        kind.as_ref().and_then(Value::as_str),
        Some("kubernetes.io/service-account-token" | "bootstrap.kubernetes.io/token")
    )
}

/// Whether a top-level field of a kind is set by the cluster that the object is in.
pub(crate) fn is_set_by_cluster(gvk: &Gvk, field: &str) -> bool {
    gvk.group.is_empty() && gvk.kind == "ServiceAccount" && matches!(field, "secrets" | "imagePullSecrets")
}

/// Takes out of an object's content what the API server of its cluster, or a controller there, has set. What is left is what a
/// person wrote, as far as that can be told.
pub(crate) fn keep_wanted(gvk: &Gvk, name: &str, content: &mut Map<String, Value>) {
    if !is_core(&gvk.group) {
        return;
    }
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Service") => content.get_mut("spec").into_iter().for_each(service),
        ("batch", "Job") => content.get_mut("spec").into_iter().for_each(job),
        ("", "PersistentVolumeClaim") => content.get_mut("spec").into_iter().for_each(|spec| {
            remove(spec, &["volumeName"]);
        }),
        ("", "ServiceAccount") => service_account(name, content),
        ("", "Pod") => content.get_mut("spec").into_iter().for_each(pod),
        _ => {}
    }
    // In typed kinds nothing and null are the same, and servers write null where there is nothing.
    content.retain(|_, value| !value.is_null());
    content.values_mut().for_each(without_nulls);
}

/// A status that is there, and the wanted one, both as the server of a kind of its own keeps them; `None` for custom kinds. The
/// conditions of these kinds have no `observedGeneration`, most of them, and servers write null where there is nothing.
pub(crate) fn as_kept(gvk: &Gvk, there: &Value, wanted: &Value) -> Option<(Value, Value)> {
    if !is_core(&gvk.group) {
        return None;
    }
    let [mut there, mut wanted] = [there, wanted].map(Value::clone);
    without_nulls(&mut there);
    without_nulls(&mut wanted);
    let shown = there.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let numberless: Vec<&Value> =
        shown.filter(|it| it.get("observedGeneration").is_none()).map(|it| &it["type"]).collect();
    for wanted in wanted.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        if numberless.contains(&&wanted["type"]) {
            remove(wanted, &["observedGeneration"]);
        }
    }
    Some((there, wanted))
}

fn remove(from: &mut Value, names: &[&str]) {
    if let Some(map) = from.as_object_mut() {
        map.retain(|name, _| !names.contains(&name.as_str()));
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Addresses, ports of nodes and families are given out by the cluster; that there is to be no address is the owner's word.
fn service(spec: &mut Value) {
    if spec["clusterIP"] != "None" {
        remove(spec, &["clusterIP", "clusterIPs"]);
    }
    remove(spec, &["healthCheckNodePort", "ipFamilies"]);
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        remove(port, &["nodePort"]);
    }
}

fn job(spec: &mut Value) {
    if spec["manualSelector"] == true {
        return;
    }
    remove(spec, &["selector"]);
    if let Some(metadata) = spec.pointer_mut("/template/metadata") {
        if let Some(labels) = metadata.get_mut("labels") {
            remove(labels, &JOB_LABELS);
        }
        if metadata["labels"].as_object().is_some_and(Map::is_empty) {
            remove(metadata, &["labels"]);
        }
    }
}

/// The names of its tokens, and of pull secrets that a controller made for it.
fn service_account(name: &str, content: &mut Map<String, Value>) {
    content.remove("secrets");
    let generated = format!("{name}-dockercfg-");
    if let Some(pull) = content.get_mut("imagePullSecrets").and_then(Value::as_array_mut) {
        pull.retain(|secret| !secret["name"].as_str().is_some_and(|name| name.starts_with(&generated)));
        if pull.is_empty() {
            content.remove("imagePullSecrets");
        }
    }
}

/// The node that it runs on, what admission works out from its class, and the volume of its token.
fn pod(spec: &mut Value) {
    remove(spec, &["nodeName", "priority", "preemptionPolicy", "ephemeralContainers", "serviceAccount"]);
    let is_generated = |name: &str| name.starts_with("kube-api-access-") || name.contains("-token-");
    let mut tokens = Vec::new();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) else { continue };
            mounts.retain(|mount| {
                let name = mount["name"].as_str().unwrap_or_default();
                let is_token = mount["mountPath"] == TOKEN_PATH && is_generated(name);
                if is_token {
                    tokens.push(name.to_owned());
                }
                !is_token
            });
            if mounts.is_empty() {
                remove(container, &["volumeMounts"]);
            }
        }
    }
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else { return };
    volumes.retain(|volume| !tokens.iter().any(|token| volume["name"] == *token));
    if volumes.is_empty() {
        remove(spec, &["volumes"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(gvk: &Gvk, given: Value, wanted: &Value) {
        let Value::Object(mut content) = given else { panic!("no content") };
        keep_wanted(gvk, "web", &mut content);
        assert_eq!(Value::Object(content), *wanted);
    }

    #[test]
    fn what_a_service_was_given_stays_with_it() {
        let service = Gvk::new("core", "v1", "Service");
        check(
            &service,
            json!({"spec": {
                "type": "LoadBalancer", "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "healthCheckNodePort": 30001, "selector": {"app": "web"},
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080}],
            }}),
            &json!({"spec": {
                "type": "LoadBalancer", "ipFamilyPolicy": "SingleStack", "selector": {"app": "web"},
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
            }}),
        );
        let headless = json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}});
        check(&service, headless.clone(), &headless);
    }

    #[test]
    fn a_job_selects_its_pods_anew_unless_it_does_so_itself() {
        let job = Gvk::new("batch", "v1", "Job");
        let labels = json!({"app": "x", "job-name": "web", "controller-uid": "u", "batch.kubernetes.io/job-name": "web",
            "batch.kubernetes.io/controller-uid": "u"});
        let spec = |labels: &Value| {
            json!({"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {"metadata": {"creationTimestamp": null, "labels": labels}, "spec": {"containers": []}}})
        };
        check(
            &job,
            json!({"spec": spec(&labels)}),
            &json!({"spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}}}}),
        );
        let mut manual = json!({"spec": spec(&json!({"job-name": "web"}))});
        manual["spec"]["manualSelector"] = true.into();
        let mut kept = manual.clone();
        remove(&mut kept["spec"]["template"]["metadata"], &["creationTimestamp"]);
        check(&job, manual, &kept);
    }

    #[test]
    fn volumes_tokens_and_nodes_stay_where_they_are() {
        check(
            &Gvk::new("core", "v1", "PersistentVolumeClaim"),
            json!({"spec": {"volumeName": "pvc-1", "accessModes": ["ReadWriteOnce"]}}),
            &json!({"spec": {"accessModes": ["ReadWriteOnce"]}}),
        );
        check(
            &Gvk::new("core", "v1", "ServiceAccount"),
            json!({"secrets": [{"name": "web-token-1"}], "automountServiceAccountToken": false,
                "imagePullSecrets": [{"name": "web-dockercfg-1"}, {"name": "mine"}]}),
            &json!({"automountServiceAccountToken": false, "imagePullSecrets": [{"name": "mine"}]}),
        );
        let token = json!({"name": "kube-api-access-x7", "mountPath": TOKEN_PATH, "readOnly": true});
        check(
            &Gvk::new("core", "v1", "Pod"),
            json!({"spec": {"nodeName": "n", "priority": 0, "serviceAccountName": "default", "serviceAccount": "default",
                "containers": [{"name": "a", "volumeMounts": [token]},
                    {"name": "b", "volumeMounts": [token, {"name": "kube-api-access-mine", "mountPath": "/x"}]}],
                "volumes": [{"name": "kube-api-access-x7", "projected": {}}, {"name": "kube-api-access-mine"}]}}),
            &json!({"spec": {"serviceAccountName": "default",
                "containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "kube-api-access-mine", "mountPath": "/x"}]}],
                "volumes": [{"name": "kube-api-access-mine"}]}}),
        );
    }

    #[test]
    fn a_status_is_compared_as_its_server_keeps_it() {
        let job = Gvk::new("batch", "v1", "Job");
        let wanted = json!({"conditions": [{"type": "Synced", "status": "True", "observedGeneration": 2}]});
        let kept = json!({"conditions": [{"type": "Synced", "status": "True", "lastProbeTime": null}]});
        let is_same = |there: &Value| as_kept(&job, there, &wanted).is_some_and(|(there, wanted)| there == wanted);
        assert!(is_same(&kept));
        let custom = Gvk::new("g.io", "v1", "Job");
        assert_eq!(as_kept(&custom, &kept, &wanted), None, "a custom kind keeps what it is given");
        let older = json!({"conditions": [{"type": "Synced", "status": "True", "observedGeneration": 1}]});
        assert!(!is_same(&older));
        let other = json!({"conditions": [{"type": "Synced", "status": "False", "lastProbeTime": null}]});
        assert!(!is_same(&other));
        assert!(!is_same(&json!({})));
    }

    #[test]
    fn custom_kinds_are_left_as_they_are() {
        let odd = json!({"spec": {"clusterIP": "10.0.0.7", "nodeName": null, "selector": {}}});
        check(&Gvk::new("gateway.networking.k8s.io", "v1", "Service"), odd.clone(), &odd);
    }

    fn object(value: &Value) -> Object {
        serde_json::from_str(&value.to_string()).unwrap()
    }

    #[test]
    fn what_a_cluster_makes_by_itself_is_no_order() {
        let is_own =
            |kind: &str, object: Value| of_the_cluster(&Gvk::parse(kind).unwrap(), &self::object(&object)).is_some();
        let named = |namespace: &str, name: &str| json!({"metadata": {"namespace": namespace, "name": name}});
        assert!(is_own("Service.v1.core", named("default", "kubernetes")));
        assert!(!is_own("Service.v1.core", named("team", "kubernetes")));
        assert!(is_own("ConfigMap.v1.core", named("team", "kube-root-ca.crt")));
        assert!(is_own("ConfigMap.v1.core", named("kube-system", "mine")));
        assert!(is_own("ServiceAccount.v1.core", named("team", "default")));
        assert!(!is_own("ConfigMap.v1.core", named("team", "default")));
        // A custom kind may be wherever its owner likes.
        assert!(!is_own("Certificate.v1.corp.com", named("kube-system", "default")));
        let mut token = named("team", "x");
        token["type"] = "kubernetes.io/service-account-token".into();
        assert!(is_own("Secret.v1.core", token));
        let owned = |api: &str, kind: &str, controller: bool| {
            let mut object = named("team", "x");
            object["metadata"]["ownerReferences"] =
                json!([{"apiVersion": api, "kind": kind, "name": "o", "uid": "u", "controller": controller}]);
            object
        };
        assert!(is_own("ReplicaSet.v1.apps", owned("apps/v1", "Deployment", true)));
        // Compositions make ConfigMaps too, and nobody else copies those.
        assert!(!is_own("ConfigMap.v1.core", owned("kro.run/v1alpha1", "Stack", true)));
        assert!(!is_own("ConfigMap.v1.core", owned("apps/v1", "Deployment", false)));
        assert!(!is_own("Certificate.v1.corp.com", owned("apps/v1", "Deployment", true)));
    }

    #[test]
    fn kinds_that_cannot_be_brokered_are_known_before_the_start() {
        for kind in [
            "Event.v1.core",
            "Event.v1.events.k8s.io",
            "Lease.v1.coordination.k8s.io",
            "Node.v1.core",
            "Namespace.v1.core",
            "Endpoints.v1.core",
            "EndpointSlice.v1.discovery.k8s.io",
            "Binding.v1.core",
            "Assignment.v1alpha1.broker.platform-mesh.io",
        ] {
            assert!(refused(&Gvk::parse(kind).unwrap()).is_some(), "{kind}");
        }
        for kind in [
            "ConfigMap.v1.core",
            "Service.v1.core",
            "Job.v1.batch",
            "Node.v1.corp.com",
            "Pod.v1.core",
            "Ingress.v1.networking.k8s.io",
            "Certificate.v1alpha1.identity.generic.platform-mesh.io",
        ] {
            assert_eq!(refused(&Gvk::parse(kind).unwrap()), None, "{kind}");
        }
    }
}
