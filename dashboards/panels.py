"""The few kinds of panel that the dashboard is made of, each one call.

Only looks and defaults are here (units, stacking, thresholds, where transmit is drawn); what is asked of Prometheus is
in `overview`. Queries get their reference letters in the order in which they are given.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from metrics import described
from metrics import unit as unit_of

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, BLUE, GREY, BLACK = "#299c46", "#3274d9", "#8e8e8e", "text"
ORANGE, RED, DARK_RED, PURPLE = "#ff9830", "#e02f44", "#ad0317", "#8f3bb8"


_BELOW_ZERO = [
    models.DynamicConfigValue("custom.transform", "negative-Y"),
    models.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "transmit"}),
]
_APART = [
    models.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "apart"}),
    models.DynamicConfigValue("custom.fillOpacity", 0),
    models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 4]}),
    models.DynamicConfigValue("custom.lineWidth", 2),
]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and the name its series get in the legend.

    Args:
        expr: PromQL; may use the dashboard's variables.
        legend: legend format, `{{label}}` is replaced. The names in `colors` and `apart` of a panel refer to it, and
            series whose legend begins with "transmit" are drawn below zero.
    """

    expr: str
    legend: str


def _targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query.expr).legend_format(query.legend).range()
        for letter, query in zip(string.ascii_uppercase, queries, strict=False)
    ]


def lines(
    title: str,
    queries: Sequence[Query],
    *,
    about: str,
    unit: str = "",
    span: int = 12,
    height: int = 8,
    stacked: bool = False,
    colors: Mapping[str, str] | None = None,
    apart: Sequence[str] = (),
) -> timeseries.Panel:
    """Series over time.

    Args:
        about: the panel's description: what it says and what to do about it. What the metrics are follows by itself.
        unit: of Grafana's; empty: that of the metrics.
        stacked: draw areas on top of each other, in the order of `queries`.
        colors: legend -> colour.
        apart: legends that are a line of their own, not part of the stack (offered, a limit).
    """
    asked = [query.expr for query in queries]
    panel = (
        timeseries.Panel()
        .title(title)
        .description(described(about, asked))
        .datasource(SOURCE)
        .unit(unit or unit_of(asked))
        .span(span)
        .height(height)
        .line_width(1)
        .fill_opacity(60 if stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .stacking(
            common_builders.StackingConfig().mode(common.StackingMode.NORMAL if stacked else common.StackingMode.NONE)
        )
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE if span == 24 else common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.RIGHT if span == 24 else common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "mean", "max"] if span == 24 else [])
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .targets([*_targets(queries)])
    )
    panel.override_by_regexp("^transmit", _BELOW_ZERO)
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})])
    for name in apart:
        panel.override_by_name(name, _APART)
    return panel


def heat(title: str, expr: str, *, about: str, span: int = 12) -> heatmap.Panel:
    """A histogram over time; `expr` yields one series a bucket, labelled `le`."""
    return (
        heatmap.Panel()
        .title(title)
        .description(described(about, [expr]))
        .datasource(SOURCE)
        .span(span)
        .height(8)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit_of([expr])))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
        .with_target(
            prometheus.Dataquery()
            .ref_id("A")
            .datasource(SOURCE)
            .expr(expr)
            .legend_format("{{le}}")
            .format(PromQueryFormat.HEATMAP)
            .range()
        )
    )


def number(
    title: str,
    expr: str,
    *,
    about: str,
    unit: str = "",
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),),
    words: Mapping[str, str] | None = None,
    span: int = 4,
) -> stat.Panel:
    """The last value, large.

    Args:
        steps: (from this value on, colour), ascending; the first has None.
        words: value -> word shown instead of it.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(described(about, [expr]))
        .datasource(SOURCE)
        .unit(unit or unit_of([expr]))
        .span(span)
        .height(4)
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(
            builders.ThresholdsConfig()
            .mode(models.ThresholdsMode.ABSOLUTE)
            .steps([models.Threshold(value=value, color=color) for value, color in steps])
        )
        .targets([*_targets([Query(expr, "{{instance}} {{device}}")])])
    )
    if words:
        texts = {value: models.ValueMappingResult(text=word) for value, word in words.items()}
        panel.mappings([models.ValueMap(options=texts)])
    return panel


def facts(title: str, expr: str, *, about: str, hide: Sequence[str], span: int = 12, height: int = 4) -> table.Panel:
    """Labels of the series as they are now, a row a series; the labels named in `hide` are left out."""
    return (
        table.Panel()
        .title(title)
        .description(described(about, [expr]))
        .datasource(SOURCE)
        .span(span)
        .height(height)
        .with_target(
            prometheus.Dataquery().ref_id("A").datasource(SOURCE).expr(expr).format(PromQueryFormat.TABLE).instant()
        )
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize", options={"excludeByName": dict.fromkeys(hide, True), "indexByName": {}}
            )
        )
    )
