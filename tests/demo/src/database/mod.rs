//! A stand-in for a provider's operator: a database for each `SQL` object of a cluster, with a user of its own.
//!
//! For an object `NAME` it makes the Secret `NAME-credentials` beside it (host, port, database, username, password, uri), and
//! says in the object's status that it is `Available` and which Secret belongs to it. Database and Secret go with the object.

pub mod engine;
mod server;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::core::GroupVersionKind;
use rand::RngExt;
use serde_json::{Value, json};

pub use engine::Engine;
pub use server::{Access, Server, clear_elsewhere};

use crate::operator::{self, Operator, OperatorError, Order};

/// The API group of the kind that is served, in version `v1alpha1`.
pub const GROUP: &str = "databases.generic.platform-mesh.io";

/// As long as PostgreSQL lets a name be, less an UID and a line.
const READABLE: usize = 30;

/// Serves the `SQL` objects of one cluster until the process ends, with databases in the server that `access` leads to.
pub async fn run(client: Client, access: Access) {
    operator::serve(client, Arc::new(Keeper { access }), &GroupVersionKind::gvk(GROUP, "v1alpha1", "SQL")).await;
}

struct Keeper {
    access: Access,
}

impl Operator for Keeper {
    const NAME: &'static str = "demo-database";

    async fn provide(&self, order: &Order) -> Result<Value, OperatorError> {
        let secret = secret_name(order);
        let found = order.secret(&secret).await?.and_then(|secret| password_in(&secret));
        let is_new = found.is_none();
        let password = found.unwrap_or_else(new_password);
        let database = database_name(order);
        // The Secret first: what is written there is made so, also after a failure between the two.
        order.write_secret(&secret, "Opaque", self.credentials(&database, &password).each()).await?;
        self.run(self.access.engine.scripts().create, &database, &password).await?;
        if is_new {
            println!("made database {database} for {}", order.name());
        }
        let message = format!("database {database}, {} at {}", self.access.engine.title(), self.access.address);
        Ok(json!({
            "status": "Available",
            "conditions": [order.condition("Provisioned", true, "Provisioned", &message)],
            "relatedResources": {"credentials": order.related_secret(&secret)},
        }))
    }

    async fn revoke(&self, order: &Order) -> Result<(), OperatorError> {
        self.run(self.access.engine.scripts().remove, &database_name(order), "").await?;
        order.remove_secret(&secret_name(order)).await
    }
}

impl Keeper {
    async fn run(&self, script: &str, database: &str, password: &str) -> Result<(), OperatorError> {
        let admin = match self.access.engine {
            Engine::Postgres => format!("{}/postgres", self.access.admin),
            Engine::Sqlite | Engine::Files => self.access.admin.clone(),
        };
        let variables = [("ADMIN", admin.as_str()), ("DATABASE", database), ("PASSWORD", password)];
        let outcome = engine::run(script, &variables).await;
        outcome.map(drop).map_err(|error| OperatorError::work(error.context(format!("database {database}"))))
    }

    fn credentials(&self, database: &str, password: &str) -> Credentials {
        let Access { engine, address, .. } = &self.access;
        let (host, port) = match engine {
            Engine::Postgres => address.rsplit_once(':').unwrap_or((address, "")),
            Engine::Sqlite | Engine::Files => ("localhost", ""),
        };
        let uri = match engine.extension() {
            None => format!("postgresql://{database}:{password}@{address}/{database}"),
            Some(extension) => format!("{address}/{database}.{extension}"),
        };
        let [host, port, database, password] = [host, port, database, password].map(str::to_owned);
        Credentials { host, port, database, password, uri }
    }
}

/// What a user of a database has to know.
struct Credentials {
    host: String,
    port: String,
    database: String,
    password: String,
    uri: String,
}

impl Credentials {
    fn each(&self) -> [(&str, &str); 6] {
        [
            ("host", &self.host),
            ("port", &self.port),
            ("database", &self.database),
            ("username", &self.database),
            ("password", &self.password),
            ("uri", &self.uri),
        ]
    }
}

fn secret_name(order: &Order) -> String {
    format!("{}-credentials", order.name())
}

/// Something of the object's name for people, and its UID: another object of the same name is another database.
fn database_name(order: &Order) -> String {
    let name = order.name();
    let readable = name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '_' }).take(READABLE);
    format!("db_{}_{}", readable.collect::<String>(), order.uid().replace('-', "")).chars().take(63).collect()
}

fn password_in(secret: &Secret) -> Option<String> {
    let bytes = secret.data.as_ref()?.get("password")?;
    String::from_utf8(bytes.0.clone()).ok().filter(|password| !password.is_empty())
}

/// Nobody guesses it, and it needs no quotes anywhere.
fn new_password() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}
