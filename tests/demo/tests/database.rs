//! The keeper of databases does what a provider's operator would, with each engine that this machine has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use resource_broker_demo::database::{self, Engine, GROUP, Server, engine};
use resource_broker_harness::{Guard, Planes, TestResult, eventually, poll};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// The objects of one cluster, and their databases.
struct Provider {
    sqls: Api<DynamicObject>,
    secrets: Api<Secret>,
    resource: ApiResource,
    server: Server,
    keeper: tokio::task::JoinHandle<()>,
}

impl Provider {
    async fn start(name: &str, engine: Engine) -> Result<Self> {
        let cluster = Planes::shared().await.cluster(name).await;
        cluster
            .apply_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds")).join(GROUP).as_path())
            .await?;
        let guard = Arc::new(Guard::temporary()?);
        let server = Server::start(&guard, "server", engine).await?;
        let client = cluster.client().await?;
        let access = database::Access::read(server.access_file())?;
        let keeper = tokio::spawn(database::run(client.clone(), access));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1alpha1", "SQL"), "sqls");
        let sqls = Api::namespaced_with(client.clone(), "default", &resource);
        Ok(Self { sqls, secrets: Api::namespaced(client, "default"), resource, server, keeper })
    }

    async fn order(&self, name: &str) -> Result<()> {
        let object = DynamicObject::new(name, &self.resource).data(json!({"spec": {"engine": "postgres"}}));
        self.sqls.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// The URI once the object says that it can be used.
    async fn uri(&self, name: &str) -> Result<String> {
        poll(&format!("{name} to be there"), SOON, async || {
            let status = self.sqls.get(name).await?.data["status"].clone();
            ensure!(status["status"] == "Available", "{status}");
            let secret = status["relatedResources"]["credentials"]["name"].as_str().unwrap_or_default().to_owned();
            let data = self.secrets.get(&secret).await?.data.unwrap_or_default();
            let text = |key: &str| data.get(key).map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
            ensure!(data.keys().eq(["database", "host", "password", "port", "uri", "username"]), "{:?}", data.keys());
            let uri = text("uri").unwrap_or_default();
            ensure!(
                uri.contains(&self.server.access().address),
                "another server than {}",
                self.server.access().address
            );
            Ok(uri)
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.sqls.delete(name, &DeleteParams::default()).await?;
        eventually("the end of object and Secret", SOON, async || {
            let left = (self.sqls.get_opt(name).await?, self.secrets.get_opt(&format!("{name}-credentials")).await?);
            ensure!(left.0.is_none() && left.1.is_none(), "left: {:?}, {:?}", left.0.is_some(), left.1.is_some());
            Ok(())
        })
        .await;
        Ok(())
    }
}

#[tokio::test]
async fn a_database_lives_as_long_as_its_object_and_can_be_copied() -> TestResult {
    for engine in Engine::available() {
        let provider = Provider::start(&format!("keeper-{engine:?}").to_lowercase(), engine).await?;
        println!("{}", provider.server.title().await?);
        let scripts = engine.scripts();
        provider.order("one").await?;
        provider.order("two").await?;
        let (one, two) = (provider.uri("one").await?, provider.uri("two").await?);
        assert_ne!(one, two);
        engine::run(scripts.write, &[("URI", &one), ("ROW", "a bicycle")]).await?;
        engine::run(scripts.write, &[("URI", &one), ("ROW", "a lamp")]).await?;
        // A second time changes nothing.
        for _ in 0..2 {
            engine::run(scripts.copy, &[("FROM_URI", &one), ("TO_URI", &two)]).await?;
            assert_eq!(engine::run(scripts.read, &[("URI", &two)]).await?, "a bicycle\na lamp\n", "{engine:?}");
        }

        provider.secrets.delete("one-credentials", &DeleteParams::default()).await?;
        let again = eventually("new credentials", SOON, async || {
            let uri = provider.uri("one").await?;
            engine::run(scripts.read, &[("URI", &uri)]).await.map(|rows| (uri, rows))
        })
        .await;
        assert_eq!(again.1, "a bicycle\na lamp\n", "the rows outlive their Secret");
        assert_eq!(again.0 == one, engine != Engine::Postgres, "where there are passwords, it is another one");

        provider.delete("one").await?;
        engine::run(scripts.read, &[("URI", &again.0)]).await.expect_err("the database went with its object");
        assert_eq!(engine::run(scripts.read, &[("URI", &two)]).await?, "a bicycle\na lamp\n");
        provider.order("one").await?;
        let new = provider.uri("one").await?;
        assert!(!engine::run(scripts.read, &[("URI", &new)]).await.is_ok_and(|rows| !rows.is_empty()), "an old row");
        provider.keeper.abort();
    }
    Ok(())
}

#[tokio::test]
async fn one_database_is_closed_to_the_user_of_another() -> TestResult {
    if !Engine::available().contains(&Engine::Postgres) {
        return Ok(());
    }
    let provider = Provider::start("keeper-users", Engine::Postgres).await?;
    provider.order("one").await?;
    provider.order("two").await?;
    let (one, two) = (provider.uri("one").await?, provider.uri("two").await?);
    let (user, _) = one.rsplit_once('/').expect("a URI with a database");
    let (_, database) = two.rsplit_once('/').expect("a URI with a database");
    let stranger = format!("{user}/{database}");
    let error = engine::run(Engine::Postgres.scripts().read, &[("URI", &stranger)]).await.expect_err("a stranger");
    assert!(error.to_string().contains("permission denied"), "{error:#}");
    Ok(())
}
