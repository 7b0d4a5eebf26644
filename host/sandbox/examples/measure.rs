//! Measures what a call costs: `cargo run --release -p resource-broker-sandbox --example measure`.

use std::time::{Duration, Instant};

use resource_broker_sandbox::{ApiName, CopyContext, Offer, Sandbox, SandboxConfig};

const CALLS: u32 = 5000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    let standard = sandbox.standard();
    println!("standard plugin: {} bytes, compiled in {:?}", standard.size(), standard.compile_time());

    let api = ApiName { group: "example.platform-mesh.io".to_owned(), resource: "certificates".to_owned() };
    let object = object();
    println!("object: {} bytes", object.len());
    for count in [1, 3, 10, 100, 1000] {
        let offers: Vec<Offer> = (0..count).map(offer).collect();
        let calls = if count < 1000 { CALLS } else { CALLS / 10 };
        let mut times = Vec::new();
        for _ in 0..calls {
            let (object, offers) = (object.clone(), offers.clone());
            let begun = Instant::now();
            sandbox.judge(&api, object, offers).await?;
            times.push(begun.elapsed());
        }
        report(&format!("judge, {count} offers"), times);
    }

    let context = CopyContext {
        prefix: "0123456789ab-".to_owned(),
        consumer_namespace: "team".to_owned(),
        provider: "provider#nestor".to_owned(),
    };
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let (copy, context) = (object.clone(), context.clone());
        let begun = Instant::now();
        sandbox.transform_status(&api, copy, None, context).await?;
        times.push(begun.elapsed());
    }
    report("transform status", times);
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: mean {mean:?}, p50 {:?}, p99 {:?}", at(50), at(99));
}

fn offer(number: usize) -> Offer {
    Offer {
        provider: format!("provider#{number}"),
        name: "default/certificates".to_owned(),
        filters: vec![format!(r#"{{"key":"fqdn","suffix":"{number}.corp.com"}}"#)],
    }
}

/// About a kilobyte, as an object of a small API is.
fn object() -> String {
    let annotation = "x".repeat(300);
    format!(
        r#"{{"apiVersion":"example.platform-mesh.io/v1alpha1","kind":"Certificate","metadata":{{"name":"www","namespace":"team","uid":"0b0c1f5e-6f0e-4d3c-9a55-6d0d9f1a2b3c","resourceVersion":"4711","generation":2,"labels":{{"app":"web"}},"annotations":{{"note":"{annotation}"}}}},"spec":{{"fqdn":"www.7.corp.com"}},"status":{{"status":"Available","conditions":[{{"type":"Ready","status":"True","reason":"Issued","message":"the certificate is issued","lastTransitionTime":"2026-01-01T00:00:00Z"}}],"relatedResources":{{"tls":{{"gvk":{{"group":"core","version":"v1","kind":"Secret"}},"name":"0123456789ab-www","namespace":"team"}}}}}}}}"#
    )
}
