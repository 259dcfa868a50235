//! `mcast-server plan`: forecasts, and what they refuse.

mod support;

use serde_json::Value;
use support::{Room, run};

fn plan(arguments: &[&str]) -> support::program::Ended {
    let room = Room::new(1);
    let arguments: Vec<_> = ["plan"].iter().chain(arguments).copied().collect();
    run(room.folder.path(), &arguments)
}

fn forecast(arguments: &[&str]) -> Value {
    let ended = plan(&[arguments, &["--json"]].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended.last("plan").clone()
}

fn number(forecast: &Value, name: &str) -> f64 {
    forecast[name].as_f64().unwrap_or_else(|| panic!("{name} in {forecast:#}"))
}

#[test]
fn a_forecast_is_near_the_bound_and_far_from_unicast() {
    let forecast = forecast(&["--size", "1GiB", "--clients", "300", "--loss", "1%", "--rate", "1gbit"]);
    let (sent, bound) = (number(&forecast, "symbols_per_image"), number(&forecast, "symbols_bound"));
    assert!((sent / bound - 1.0).abs() < 0.005, "{forecast:#}");
    // 1 GiB in frames of 1,498 bytes for 1,440 takes 8.94 s.
    let seconds = number(&forecast, "seconds");
    assert!((9.0..9.5).contains(&seconds), "{forecast:#}");
    assert!(number(&forecast, "seconds_median") <= seconds, "{forecast:#}");
    assert!(number(&forecast["unicast"], "seconds") > 280.0 * seconds, "{forecast:#}");
    assert!(number(&forecast, "feedback_share") < 0.01, "{forecast:#}");
    assert_eq!(forecast["simulated_bytes"], forecast["image_bytes"]);
}

#[test]
fn a_large_image_is_concluded_from_a_part_and_that_is_said() {
    let arguments = ["--clients", "4000", "--loss", "0.5%"];
    let [part, whole] = ["8GiB", "64GiB"].map(|size| forecast(&[&["--size", size], &arguments[..]].concat()));
    assert!(number(&whole, "simulated_bytes") < number(&whole, "image_bytes"));
    let ratio = number(&whole, "seconds") / number(&part, "seconds");
    assert!((7.8..8.1).contains(&ratio), "{ratio}");
    let told = plan(&["--size", "64GiB", "--clients", "4000"]);
    assert!(told.events.iter().any(|line| line.as_str().is_some_and(|line| line.starts_with("scaled "))));
}

#[test]
fn late_and_lossy_clients_cost_something() {
    let base = ["--size", "512MiB", "--clients", "20"];
    let seconds = |more: &[&str]| number(&forecast(&[&base, more].concat()), "seconds");
    let plain = seconds(&[]);
    assert!(seconds(&["--client-loss", "2:20%"]) > 1.2 * plain);
    let late = seconds(&["--late", "1", "--late-over", "3s"]);
    // The last one joins after 3 s and takes what the image takes.
    assert!((late - plain - 3.0).abs() < 0.3, "{late} after {plain}");
}

#[test]
fn each_wrong_argument_is_an_error_of_one_line_that_names_it() {
    let right = ["--size", "1GiB", "--clients", "10"];
    let rows: [(&[&str], &[&str]); 9] = [
        (&["--size", "0GiB", "--clients", "10"], &["size 0GiB", "1B to 1024TiB"]),
        (&["--size", "20", "--clients", "10"], &["size 20", "unit", "20GiB"]),
        (&["--size", "1GiB", "--clients", "0"], &["0", "1..=20000"]),
        (&["--loss", "100%"], &["loss 100%", "0% to 40%"]),
        (&["--loss", "0.01"], &["0.01", "%"]),
        (&["--client-loss", "11:1%"], &["11", "10"]),
        (&["--client-loss", "1%"], &["1%", "5:20%"]),
        (&["--late", "10"], &["--late 10", "10 clients"]),
        (&["--rate", "fast"], &["fast", "400mbit"]),
    ];
    for (wrong, words) in rows {
        println!("{wrong:?}");
        let complete = wrong.contains(&"--size");
        plan(&if complete { wrong.to_vec() } else { [&right, wrong].concat() }).check_error(2, words);
    }
}
