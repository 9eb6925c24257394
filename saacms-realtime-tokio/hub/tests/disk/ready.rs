//! What the health checks say about the engine.

use crate::hub::Hub;
use crate::real_server::Server;

#[test]
fn a_ready_hub_names_its_engine_and_the_life_of_its_history() {
    let mut hub = Hub::start(&[]);
    hub.publish("1", "a");
    let (status, body) = hub.health("/readyz");
    assert_eq!(status, 200, "{body}");
    let engine = &body["engine"];
    assert_eq!(
        (&engine["kind"], &engine["state"]),
        (&"disk".into(), &"up".into())
    );
    assert_eq!(engine["in_flight"], 0);
    let life = engine["life"].as_str().expect("a life").to_owned();
    assert!(hub.position("1").starts_with(&format!("{life}.")), "{life}");

    hub.kill();
    hub.start_again();
    let body = hub.wait_until_ready_is(200);
    assert_eq!(body["engine"]["life"], life);
}

#[test]
fn a_hub_without_an_engine_says_nothing_about_one() {
    let hub = Server::start(&[]);
    let mut connection = crate::client::Connection::open(hub.address);
    let answer = connection.exchange(&crate::client::Request::get("/readyz"));
    assert_eq!(answer.status(), 200);
    assert!(!answer.text().contains("engine"), "{answer:?}");
}
