use core::hint::black_box;
use std::borrow::Cow;

use criterion::Criterion;
use saacms_realtime_core::route::{Action, Api, Headers, Request};

/// Headers with lower-case names that occur once, so that next to nothing is spent on a lookup.
struct Fixed(&'static [(&'static str, &'static str)]);

impl Headers for Fixed {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let (_, value) = self.0.iter().find(|header| header.0 == name)?;
        Some(Cow::Borrowed(value.as_bytes()))
    }
}

/// The request of a client that reconnects: its path and its last event ID.
pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/parse");
    const PATH: &str = "/api/saacms/v1/posts/0123456789abcdef/subscribe";
    static HEADERS: [(&str, &str); 3] = [
        ("host", "localhost:8787"),
        ("accept", "text/event-stream"),
        ("last-event-id", "v000000001"),
    ];

    let headers = Fixed(&HEADERS);
    let header = |name| headers.value(name);

    let api = Api::default();
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            let decision = api.decide(&Request {
                method: black_box("GET"),
                path: black_box(PATH),
                query: None,
                authority: None,
                is_http_1_1: true,
                peer: None,
                headers: &headers,
            });

            assert!(matches!(decision.action, Action::Subscribe { .. }));
            decision
        });
    });

    // Only the path: no percent-decoding, no check of its parts, no Accept, no CORS, no head.
    let mut router = matchit::Router::new();
    router.insert("/api/saacms/v1/publish", false).expect("new");
    router
        .insert("/api/saacms/v1/{slug}/{id}/subscribe", true)
        .expect("new");
    group.bench_function("matchit", |bencher| {
        bencher.iter(|| {
            let found = router.at(black_box(PATH)).expect("a route");
            let part = |name| found.params.get(name).map(str::to_owned);
            (
                part("slug"),
                part("id"),
                header("last-event-id").map(Cow::into_owned),
            )
        });
    });

    group.bench_function("split", |bencher| {
        bencher.iter(|| {
            let rest = black_box(PATH)
                .strip_prefix("/api/saacms/v1/")
                .expect("the base");
            let mut parts = rest.split('/').map(str::to_owned);
            (
                parts.next(),
                parts.next(),
                header("last-event-id").map(Cow::into_owned),
            )
        });
    });
    group.finish();
}
