//! The engines that are known: their names, the protocols that they speak, and until when their makers maintain a version.
//!
//! `MySQL` and `MariaDB` are two engines of one family: their clients talk to either, their dumps and versions differ.

use resource_broker_plugin_kit::engines::Engine;

const fn engine(name: &'static str, aliases: &'static [&'static str], families: &'static [&'static str]) -> Engine {
    Engine { name, aliases, families, maintained: &[] }
}

/// All of them.
pub const ENGINES: &[Engine] = &[
    Engine {
        name: "postgres",
        aliases: &["postgresql", "pg", "pgsql", "psql"],
        families: &["postgres"],
        maintained: &[
            ("12", "2024-11-21"),
            ("13", "2025-11-13"),
            ("14", "2026-11-12"),
            ("15", "2027-11-11"),
            ("16", "2028-11-09"),
            ("17", "2029-11-08"),
            ("18", "2030-11-14"),
        ],
    },
    Engine {
        name: "mysql",
        aliases: &["my", "mysql-server"],
        families: &["mysql"],
        maintained: &[("5.7", "2023-10-31"), ("8.0", "2026-04-30"), ("8.4", "2032-04-30")],
    },
    Engine {
        name: "mariadb",
        aliases: &["maria", "mariadb-server"],
        families: &["mysql"],
        maintained: &[
            ("10.5", "2025-06-24"),
            ("10.6", "2026-07-06"),
            ("10.11", "2028-02-16"),
            ("11.4", "2029-05-29"),
            ("11.8", "2028-06-04"),
        ],
    },
    engine("mssql", &["sqlserver", "sql-server", "microsoft-sql-server"], &["mssql"]),
    engine("oracle", &["oracledb", "oracle-database"], &["oracle"]),
    engine("db2", &["ibm-db2"], &["db2"]),
    engine("cockroachdb", &["cockroach", "crdb"], &["postgres"]),
    engine("yugabytedb", &["yugabyte"], &["postgres"]),
    engine("tidb", &[], &["mysql"]),
    engine("vitess", &[], &["mysql"]),
    Engine {
        name: "mongodb",
        aliases: &["mongo"],
        families: &["mongodb"],
        maintained: &[("5.0", "2024-10-31"), ("6.0", "2025-07-31"), ("7.0", "2027-08-31"), ("8.0", "2029-10-31")],
    },
    engine("ferretdb", &["ferret"], &["mongodb"]),
    engine("cassandra", &["apache-cassandra"], &["cassandra"]),
    engine("scylladb", &["scylla"], &["cassandra"]),
    engine("couchdb", &["apache-couchdb"], &["couchdb"]),
    engine("couchbase", &[], &["couchbase"]),
    engine("dynamodb", &["dynamo"], &["dynamodb"]),
    engine("redis", &["redis-server"], &["redis"]),
    engine("valkey", &["valkey-server"], &["redis"]),
    engine("keydb", &[], &["redis"]),
    engine("dragonfly", &["dragonflydb"], &["redis"]),
    engine("memcached", &["memcache"], &["memcached"]),
    engine("etcd", &[], &["etcd"]),
    engine("qdrant", &[], &["qdrant"]),
    engine("milvus", &[], &["milvus"]),
    engine("weaviate", &[], &["weaviate"]),
    engine("chroma", &["chromadb"], &["chroma"]),
    engine("pgvector", &["pg-vector"], &["postgres"]),
    engine("opensearch", &[], &["opensearch"]),
    engine("elasticsearch", &["elastic"], &["elasticsearch"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use resource_broker_plugin_kit::engines::{Catalogue, EngineSettings};
    use resource_broker_sdk::version::Version;

    use super::*;

    #[test]
    fn every_name_means_one_engine() {
        let mut seen = BTreeSet::new();
        for engine in ENGINES {
            for name in engine.aliases.iter().chain([&engine.name]) {
                assert!(seen.insert(*name), "{name} is there twice");
                assert_eq!(*name, name.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn names_are_resolved_and_mysql_is_not_mariadb() {
        let settings: EngineSettings =
            serde_json::from_value(serde_json::json!({"aliases": {"House-DB": "Postgres"}})).unwrap();
        let catalogue = Catalogue { engines: ENGINES, settings: &settings };
        for (name, engine) in
            [("PostgreSQL", "postgres"), (" pg ", "postgres"), ("house-db", "postgres"), ("Unheard", "unheard")]
        {
            assert_eq!(catalogue.resolve(name), engine);
        }
        assert_ne!(catalogue.resolve("mysql"), catalogue.resolve("mariadb"));
        assert!(catalogue.is_in_family("mysql", "mysql") && catalogue.is_in_family("mariadb", "mysql"));
        assert!(!catalogue.is_in_family("unheard", "mysql"));
    }

    #[test]
    fn the_end_of_life_is_that_of_the_closest_cycle() {
        let settings: EngineSettings = serde_json::from_value(
            serde_json::json!({"maintained": {"pg": {"13": "2027-01-31", "13.20": "2028-01-31"}}}),
        )
        .unwrap();
        let catalogue = Catalogue { engines: ENGINES, settings: &settings };
        for (engine, version, until) in [
            ("postgres", "16.4", Some("2028-11-09")),
            ("postgres", "13.2", Some("2027-01-31")),
            ("postgres", "13.20", Some("2028-01-31")),
            ("postgres", "99", None),
            ("mysql", "8.0.36-27", Some("2026-04-30")),
            ("mysql", "8.4", Some("2032-04-30")),
            // Which of its series is meant is not known.
            ("mysql", "8", None),
            ("unheard", "1", None),
        ] {
            let version: Version = version.parse().unwrap();
            assert_eq!(catalogue.maintained_until(engine, &version), until, "{engine} {version}");
        }
    }
}
