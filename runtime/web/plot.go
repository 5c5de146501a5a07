package web

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// plot is a small picture of the last hours, drawn here: lines over time as paths of SVG.
type plot struct {
	Title, Unit string
	// Text says what the picture shows, for who does not see it.
	Text          string
	Width, Height int
	Lines         []plotLine
	Grid          []gridLine
	Times         []gridLine
	// Right is where now is.
	Right int
}

type plotLine struct {
	Name, Class, Path, Area string
	// Now is the newest value as people write it.
	Now string
}

type gridLine struct {
	At    float64
	Label string
}

const (
	plotWidth, plotHeight = 480, 120
	plotLeft, plotBottom  = 64, 20
	plotTop               = 8
)

// series is what a line of a plot shows of a sample.
type series struct {
	name, class string
	of          func(Sample) float64
}

// plotOf draws series of samples over the last d until now.
func plotOf(title string, samples []Sample, now time.Time, d time.Duration, write func(float64) string, round func(float64) float64, list ...series) *plot {
	p := &plot{Title: title, Width: plotWidth, Height: plotHeight}
	top := 0.0
	for _, s := range samples {
		for _, one := range list {
			top = max(top, one.of(s))
		}
	}
	top = round(top)
	x := func(t time.Time) float64 {
		return plotLeft + (plotWidth-plotLeft-4)*(1-now.Sub(t).Seconds()/d.Seconds())
	}
	y := func(v float64) float64 { return plotTop + (plotHeight-plotTop-plotBottom)*(1-v/top) }
	for _, part := range []float64{0, 0.5, 1} {
		p.Grid = append(p.Grid, gridLine{y(top * part), write(top * part)})
	}
	const marks = 3
	for i := range marks {
		// Ages, not times of the clock: those would be of the server's zone or the reader's.
		age := d * time.Duration(marks-i) / marks
		p.Times = append(p.Times, gridLine{x(now.Add(-age)), span(age) + " ago"})
	}
	p.Right = plotWidth - 4
	var words []string
	for _, one := range list {
		line := plotLine{Name: one.name, Class: one.class}
		var path strings.Builder
		most := 0.0
		for i, s := range samples {
			verb := "L"
			if i == 0 {
				verb = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", verb, x(s.At), y(one.of(s)))
			most = max(most, one.of(s))
		}
		line.Path = path.String()
		if n := len(samples); n > 0 {
			line.Now = write(one.of(samples[n-1]))
			line.Area = fmt.Sprintf("%sL%.1f %.1fL%.1f %.1fZ", line.Path, x(samples[n-1].At), y(0), x(samples[0].At), y(0))
			words = append(words, fmt.Sprintf("%s now %s, at most %s", one.name, line.Now, write(most)))
		}
		p.Lines = append(p.Lines, line)
	}
	p.Text = fmt.Sprintf("%s in the last %s: %s.", title, span(d), strings.Join(words, "; "))
	return p
}

// roundUp is a round number at or above v, of which the half is round as well.
func roundUp(v float64) float64 {
	if v <= 2 {
		return 2
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 2, 4, 6, 8, 10} {
		if v <= unit*factor {
			return unit * factor
		}
	}
	return v
}

// roundUpBytes is roundUp in binary units.
func roundUpBytes(v float64) float64 {
	unit := 1.0
	for v/unit >= 1024 {
		unit *= 1024
	}
	return roundUp(v/unit) * unit
}
