//! What the README says can be copied, and works.

use std::time::Duration;

use codedance_core::config;
use codedance_core::decision::Policy;
use codedance_prom::{Config, Template};

use crate::conformance::{client, source};
use crate::servers::Kind;
use crate::target::{Layout, Target};
use crate::templates::{answer, projects::PROJECTS, replicas, revision};

const README: &str = include_str!("../../README.md");

/// Longer than it takes to check all policies after what they look at was scraped.
const INTERVAL: Duration = Duration::from_secs(10);

/// The blocks of YAML of which the text before the first colon is this key.
fn blocks(key: &str) -> Vec<&'static str> {
    let fenced = README.split("\n```yaml\n").skip(1);
    let blocks = fenced.map(|rest| rest.split_once("\n```").unwrap().0);
    let found: Vec<_> = blocks
        .filter(|block| block.split_once(':').is_some_and(|(first, _)| first == key))
        .collect();
    assert!(!found.is_empty(), "no block begins with `{key}`");
    found
}

fn policies() -> Vec<Policy> {
    let read = |text: &&str| config::from_yaml(text).unwrap_or_else(|error| panic!("{error}"));
    blocks("template").iter().map(read).collect()
}

fn templates() -> Vec<Template> {
    let read = |text: &&str| config::from_yaml(text).unwrap_or_else(|error| panic!("{error}"));
    blocks("by").iter().map(read).collect()
}

#[test]
fn it_has_a_policy_for_each_template_and_nothing_unread() {
    let policies = policies();
    let mut named: Vec<_> = policies.iter().filter_map(Policy::template).collect();
    named.sort_unstable();
    assert_eq!(named, Template::built_in().keys().collect::<Vec<_>>());
    let configs = blocks("url");
    for text in &configs {
        config::from_yaml::<Config>(text).unwrap();
    }
    let read = policies.len() + templates().len() + configs.len();
    assert_eq!(README.matches("\n```yaml\n").count(), read);
}

/// What the two templates of its own are for.
fn count_in_contour_and_an_application(target: &Target) {
    for (cluster, version) in [("shop_web_80", "v1"), ("shop_web-canary_80", "v2")] {
        let class = [
            ("namespace", "projectcontour"),
            ("envoy_cluster_name", cluster),
            ("envoy_response_code_class", "2"),
        ];
        target.count("envoy_cluster_upstream_rq_xx", &class, 9.0);
        let name = "envoy_cluster_upstream_rq_time";
        let layout = PROJECTS.iter().find(|project| project.latency == name);
        target.observe(name, layout.unwrap().layout, &class[..2], 30.0, 9);
        let pod = [("namespace", "shop"), ("app", "web"), ("version", version)];
        target.gauge("queue_length", &pod, 7.0);
        let name = "application_requests_total";
        target.count(name, &[&pod[..], &[("status", "200")]].concat(), 9.0);
        target.observe("application_seconds", Layout::Native(3), &pod, 0.3, 9);
    }
}

#[tokio::test]
async fn its_policies_find_what_they_ask_for() {
    let (server, targets) = replicas(Kind::Prometheus3).await;
    count_in_contour_and_an_application(&targets[0]);
    // It was there before the interval that is looked at.
    server.scraped(&targets[0], INTERVAL.as_secs() + 2).await;
    count_in_contour_and_an_application(&targets[0]);
    answer(&server, &targets).await;

    let client = client(&server, Kind::Prometheus3).await;
    let source = source(&client, "shop/web").with_variable("gateway_namespace", "projectcontour");
    let (v1, v2) = (revision("v1"), revision("v2"));
    let check = async |name: &str, source: &codedance_prom::Prometheus, policy: &Policy| {
        let policy = policy.clone().into_builder().with_interval(INTERVAL);
        let policy = policy.build().unwrap();
        let checked = source.check(&policy, &v1, &v2).await.unwrap();
        assert!(checked.faults.is_empty(), "{name}: {checked:#?}");
        assert!(checked.silent.is_empty(), "{name}: {checked:#?}");
    };
    let policies = policies();
    for policy in &policies {
        check(policy.template().unwrap(), &source, policy).await;
    }
    // The last policy is judged by each template of its own, too.
    let policy = policies[policies.len() - 1].clone().into_builder();
    let policy = policy.with_template("own").build().unwrap();
    let [contour, mut application] = templates().try_into().unwrap();
    // The target shows a classic histogram by that name already.
    for selector in [
        &mut application.requests.as_mut().unwrap().select,
        &mut application.latency.as_mut().unwrap().select,
    ] {
        *selector = selector
            .replace("http_request_duration", "application")
            .replace("http_requests", "application_requests");
    }
    for (name, template) in [("contour", contour), ("application", application)] {
        let source = source.clone().with_template("own", template);
        check(name, &source, &policy).await;
    }
}
