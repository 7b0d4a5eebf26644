//! The program that moves a `RabbitMQ` broker, against stand-ins for the two management interfaces.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

use resource_broker_plugin_kit::scene::Scene;

const PROGRAM: &str = include_str!("../scripts/rabbitmq.py");

/// What an interface was asked: method and path, and the body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// An interface that answers each request with what `answer` says (a status and a body) and writes it down.
fn interface(answer: impl Fn(&str, usize) -> (u16, String) + Send + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let shared = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (line, body) = read_request(&stream);
            let before = shared.lock().unwrap().iter().filter(|(seen, _)| *seen == line).count();
            let (status, text) = answer(&line, before);
            shared.lock().unwrap().push((line, body));
            let length = text.len();
            let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(format!("{head}{text}").as_bytes()).unwrap();
        }
    });
    (address, asked)
}

fn read_request(stream: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    (asked, String::from_utf8(body).unwrap())
}

/// Runs one stage; `None` where there is no Python to run it with.
fn run(name: &str, stage: &str, old: &str, new: &str) -> Option<(Output, String)> {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: the program needs python3");
        return None;
    }
    let scene = Scene::new(name).unwrap();
    for (end, address) in [("from", old), ("to", new)] {
        scene.write(&format!("{end}/0/managementUri"), address).unwrap();
        scene.write(&format!("{end}/0/username"), "app").unwrap();
        scene.write(&format!("{end}/0/password"), "p/w").unwrap();
        scene.write(&format!("{end}/0/host"), &format!("{end}.example")).unwrap();
    }
    let variables = [
        ("STAGE", stage),
        ("VHOST", "/"),
        ("MANAGEMENT_KEYS", "managementUri"),
        ("USERNAME_KEYS", "username"),
        ("PASSWORD_KEYS", "password"),
        ("HOST_KEYS", "host"),
        ("PORT_KEYS", "port"),
        ("URI_KEYS", "uri"),
        ("POLL_SECONDS", "1"),
        ("QUIET_SECONDS", "1"),
    ];
    let output = scene.command("python3", &["-c", PROGRAM], &variables).output().unwrap();
    Some((output, scene.termination()))
}

fn requests(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
}

const DEFINITIONS: &str = r#"{"queues": [{"name": "a/b"}], "exchanges": [], "users": [{"name": "secret"}]}"#;

#[test]
fn definitions_are_copied_without_users() {
    let (old, _) = interface(|_, _| (200, DEFINITIONS.to_owned()));
    let (new, asked) = interface(|_, _| (204, String::new()));
    let Some((output, _)) = run("rabbit-prepare", "prepare", &old, &new) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0].0, "POST /api/definitions/%2F");
    assert!(asked[0].1.contains("a/b") && !asked[0].1.contains("secret"), "{}", asked[0].1);
}

#[test]
fn queues_are_shovelled_until_they_are_empty_and_quiet() {
    let (old, looked) = interface(|line, before| {
        if line == "GET /api/definitions/%2F" {
            return (200, DEFINITIONS.to_owned());
        }
        let left = if before == 0 { 7 } else { 0 };
        (200, format!(r#"[{{"name": "a/b", "messages": {left}, "message_stats": {{"publish": 7}}}}]"#))
    });
    let (new, asked) = interface(|_, _| (204, String::new()));
    let Some((output, _)) = run("rabbit-drain", "drain", &old, &new) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shovel = "/api/parameters/shovel/%2F/resource-broker-a%2Fb";
    assert_eq!(requests(&asked), [format!("PUT {shovel}"), format!("DELETE {shovel}")]);
    let body = asked.lock().unwrap()[0].1.clone();
    assert!(body.contains("amqp://app:p%2Fw@from.example:5672/%2F"), "{body}");
    assert!(body.contains(r#""ack-mode": "on-confirm""#), "{body}");
    assert!(requests(&looked).len() >= 3, "7 messages, then none, then quiet");
}

#[test]
fn what_an_end_refuses_is_said() {
    let (old, _) = interface(|_, _| (401, String::new()));
    let (new, asked) = interface(|_, _| (204, String::new()));
    let Some((output, termination)) = run("rabbit-refused", "drain", &old, &new) else { return };
    assert!(!output.status.success());
    assert_eq!(termination, "the from end answers 401 to GET definitions/%2F");
    assert_eq!(requests(&asked), Vec::<String>::new());
}

#[test]
fn a_virtual_host_that_is_not_there_is_no_empty_one() {
    for stage in ["prepare", "drain"] {
        let (old, _) = interface(|_, _| (404, String::new()));
        let (new, asked) = interface(|_, _| (204, String::new()));
        let Some((output, termination)) = run("rabbit-elsewhere", stage, &old, &new) else { return };
        assert!(!output.status.success(), "{stage}");
        assert!(termination.starts_with("the from end has no virtual host '/'"), "{termination}");
        assert_eq!(requests(&asked), Vec::<String>::new());
    }
}

#[test]
fn a_queue_of_unknown_length_is_not_empty() {
    let (old, looked) = interface(|line, before| {
        if line == "GET /api/definitions/%2F" {
            return (200, DEFINITIONS.to_owned());
        }
        let length = if before < 3 { "" } else { r#", "messages": 0"# };
        (200, format!(r#"[{{"name": "a/b"{length}}}]"#))
    });
    let (new, _) = interface(|_, _| (204, String::new()));
    let Some((output, _)) = run("rabbit-unknown", "drain", &old, &new) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("does not say how many messages are in a/b"));
    assert!(requests(&looked).len() >= 5, "the definitions, three unknown lengths, and one that is known");
}
