//! A small chart as SVG, readable on light and on dark ground: lines and dots over two axes, each
//! line named at its right end.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Least distance of names, one below the other.
const NAME_HEIGHT: f64 = 15.0;

/// Of about the same lightness, so that each is seen on white and on black; told apart by people
/// who do not see red and green as well.
const COLOURS: [&str; 5] = ["#2f81c7", "#e0851b", "#2a9d6f", "#c05a9e", "#8a8f98"];

/// A chart.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

/// An axis from its first tick to its last.
pub(super) struct Axis {
    label: String,
    ticks: Vec<f64>,
    logarithmic: bool,
}

/// Points of one kind.
pub(super) struct Series {
    /// Written at the last point; empty for none.
    pub(super) name: String,
    /// Which of the colours.
    pub(super) colour: usize,
    pub(super) mark: Mark,
    pub(super) points: Vec<(f64, f64)>,
}

/// How points are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Dots,
    Both,
}

impl Axis {
    pub(super) fn linear(label: &str, ticks: &[f64]) -> Self {
        Self { label: label.to_owned(), ticks: ticks.to_vec(), logarithmic: false }
    }

    pub(super) fn log(label: &str, ticks: &[f64]) -> Self {
        Self { label: label.to_owned(), ticks: ticks.to_vec(), logarithmic: true }
    }

    /// Where a value lies between the first tick (0) and the last (1).
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (Some(first), Some(last)) = (self.ticks.first(), self.ticks.last()) else { return 0.0 };
        (scale(value) - scale(*first)) / (scale(*last) - scale(*first))
    }
}

impl Chart {
    /// The chart as a file's text.
    pub(super) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
             <title>{}</title>\n<style>\n\
             text {{ font: 12px system-ui, sans-serif; fill: #3c4149 }}\n\
             .title {{ font-size: 14px; font-weight: 600 }}\n\
             .grid {{ stroke: #8a8f98; stroke-opacity: .3 }}\n\
             @media (prefers-color-scheme: dark) {{ text {{ fill: #d4d8de }} }}\n\
             </style>\n",
            self.title
        );
        let _ = writeln!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"20\">{}</text>", self.title);
        self.draw_axes(&mut svg);
        self.series.iter().for_each(|series| self.draw(series, &mut svg));
        self.draw_names(&mut svg);
        svg + "</svg>\n"
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn draw_axes(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for &tick in &self.x.ticks {
            let x = self.x(tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
                bottom + 18.0
            );
        }
        for &tick in &self.y.ticks {
            let y = self.y(tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        let middle = f64::midpoint(LEFT, right);
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 12.0,
            self.x.label,
            f64::midpoint(TOP, bottom),
            self.y.label
        );
    }

    fn draw(&self, series: &Series, svg: &mut String) {
        let colour = COLOURS[series.colour % COLOURS.len()];
        let places: Vec<_> = series.points.iter().map(|&(x, y)| (self.x(x), self.y(y))).collect();
        if series.mark != Mark::Dots {
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let points = path.join(" ");
            let _ =
                writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        }
        if series.mark != Mark::Line {
            for (x, y) in places {
                let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
            }
        }
    }

    /// Names from the top down, moved apart where they would cover each other.
    fn draw_names(&self, svg: &mut String) {
        let end = |series: &Series| series.points.last().map(|&(x, y)| (self.x(x), self.y(y)));
        let named = self.series.iter().filter(|series| !series.name.is_empty());
        let mut names: Vec<_> = named.filter_map(|series| Some((end(series)?, series))).collect();
        names.sort_by(|((_, a), _), ((_, b), _)| a.total_cmp(b));
        let mut above = f64::NEG_INFINITY;
        for ((x, y), series) in names {
            let y = y.max(above + NAME_HEIGHT);
            above = y;
            let colour = COLOURS[series.colour % COLOURS.len()];
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{colour}\">{}</text>",
                x + 10.0,
                y + 4.0,
                series.name
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_end_at_one_point_stand_below_each_other() {
        let series = |name: &str| Series { name: name.into(), colour: 0, mark: Mark::Both, points: vec![(1.0, 2.0)] };
        let chart = Chart {
            title: "t".into(),
            x: Axis::log("x", &[1.0, 10.0]),
            y: Axis::linear("y", &[0.0, 4.0]),
            series: vec![series("a"), series("b")],
        };
        let svg = chart.svg();
        let y = |name: &str| -> f64 {
            let line = svg.lines().find(|line| line.contains(&format!(">{name}<"))).unwrap();
            line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        assert!((y("b") - y("a") - NAME_HEIGHT).abs() < 0.2);
    }

    #[test]
    fn an_axis_runs_from_its_first_to_its_last_tick() {
        let axis = Axis::log("x", &[0.1, 1.0, 10.0]);
        assert_eq!((axis.place(0.1), axis.place(10.0)), (0.0, 1.0));
        assert!((axis.place(1.0) - 0.5).abs() < 1e-9);
    }
}
