//! Latencies as a picture: how many milliseconds the slowest of 2, 10, 100 ... deliveries took.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::figures::milliseconds;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 50.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 90.0;
const COLOURS: [&str; 6] = [
    "#0b6e4f", "#c1440e", "#2f5d9b", "#8a5a9e", "#a08020", "#555555",
];
/// The shares of deliveries that are slower than a point of the plot.
const SLOWEST: [(f64, &str); 6] = [
    (1.0, "all"),
    (0.5, "50 %"),
    (0.1, "10 %"),
    (0.01, "1 %"),
    (0.001, "0.1 %"),
    (0.000_1, "0.01 %"),
];

/// One line for each name.
pub(crate) fn svg(title: &str, lines: &[(String, &Histogram<u64>)]) -> String {
    let most = lines
        .iter()
        .map(|line| milliseconds(line.1, 1.0))
        .fold(0.1, f64::max);
    // Whole decades around all values, from 0.01 ms on.
    let (low, high) = (-2.0, most.log10().ceil().max(0.0));
    let y = |millis: f64| {
        let share = (millis.max(0.01).log10() - low) / (high - low);
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
    };

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{title}</text>\n"
    );
    for (slower, name) in SLOWEST {
        let (x, bottom) = (x(slower), HEIGHT - BOTTOM);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
            bottom + 18.0
        );
    }

    for decade in low as i32..=high as i32 {
        let millis = 10_f64.powi(decade);
        let (y, end) = (y(millis), WIDTH - RIGHT);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{millis} ms</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }

    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{}\">deliveries that took at least as long</text>",
        HEIGHT - 12.0
    );

    for (index, (name, latency)) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let mut path = String::new();
        // From all deliveries to the slowest 0.01 %: four decades of twenty steps.
        for step in 0..=80 {
            let slower = 10_f64.powf(-f64::from(step) / 20.0);
            let point = milliseconds(latency, 1.0 - slower);
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if step == 0 { "M" } else { "L" },
                x(slower),
                y(point)
            );
        }

        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            WIDTH - RIGHT + 6.0,
            y(milliseconds(latency, 0.999_9)) + 4.0
        );
    }
    out + "</svg>\n"
}

/// The place of a share of deliveries: a quarter of the width for each decade.
fn x(slower: f64) -> f64 {
    LEFT + -slower.log10() / 4.0 * (WIDTH - LEFT - RIGHT)
}
