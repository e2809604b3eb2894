"""A healthy thorax: organs drawn as centimetres of tissue along the beam."""

import numpy as np

from synthcohort.phantoms.chest.grid import Field, Grid, chord, ellipse, smooth_union
from synthcohort.phantoms.chest.thorax import (
    FIRST_RIB,
    RIB_SPACING,
    Fracture,
    Scene,
    Thorax,
    cage_width,
    dome,
    heart_scale,
)


def draw_anatomy(grid: Grid, thorax: Thorax) -> Scene:
    """Draw everything but vessels and findings."""
    x, y = grid.x, grid.y
    width = cage_width(thorax, y)
    root = np.sqrt(np.maximum(1 - np.square(x / width), 0))
    zero = np.zeros_like(x)
    scene = Scene(
        grid, thorax, _body(grid, thorax), zero, zero.copy(), zero.copy(), zero.copy(), zero.copy(), zero, zero, root
    )
    occupied = _mediastinum(scene)
    scene.lung = root * (16.5 * (width / thorax.cage) ** 0.8).astype(np.float32) * (1 - occupied)
    _diaphragm(scene)
    scene.bone += _ribs(scene) + _shoulder_girdle(scene)
    _spine(scene)
    _airways(scene, occupied)
    return scene


def _body(grid: Grid, thorax: Thorax) -> Field:
    """Thickness of the body (cm): trunk, neck, shoulders, breasts."""
    x, y = grid.x, grid.y
    away = np.abs(x)
    rise = np.clip((y + 150) / 170, 0, 1)
    depth = thorax.depth * (0.6 + 0.4 * rise * (2 - rise)) + 0.5 * grid.smooth(y - 120, 60)
    reach = np.clip((thorax.armpit - y) * np.float32(1 / 100), 0, 1.6)
    half = thorax.cage + thorax.wall + 85 * reach * reach + thorax.waist * (y + 20) / 100
    part = away / half
    thickness = chord(1 - part * part * part) * depth
    run = np.maximum(away - 45, 0)
    thickness *= np.maximum(grid.smooth(y + 190 - 0.36 * run * run / (run + 30), 8), grid.smooth(56 - away, 26))
    if thorax.breast > 0:
        for side in (-1, 1):
            centre = (side * 0.56 * thorax.cage, 38.0)
            window = grid.window(centre[0] - 82, centre[0] + 82, -40, 115)
            u, v = grid.part(window)
            fold = np.where(v > centre[1], 1.0, 0.85).astype(np.float32)
            inside = 1 - np.square((u - centre[0]) / 78) - np.square((v - centre[1]) * fold / 66)
            thickness[window] += thorax.breast * np.sqrt(np.maximum(inside, 0)) * grid.smooth(inside, 0.25)
    return thickness.astype(np.float32)


def _mediastinum(scene: Scene) -> Field:
    """Share of the chest's depth that heart, great vessels and mediastinum take from the lungs."""
    grid, thorax = scene.grid, scene.thorax
    occupied = np.zeros_like(grid.x)
    window = grid.window(-105, min(thorax.cage, 130), -190, 150)
    x, y = grid.part(window)
    x = x - np.float32(thorax.shift) * grid.smooth(y + 110, 120)
    fillet = 0.35 + 0.8 * max(thorax.mediastinum - 1.2, 0)  # a widened mediastinum loses its notches
    wide, knob = thorax.mediastinum, 15 + 5 * thorax.aorta
    sink = 0.55 * (0.5 * (thorax.domes[-1] + thorax.domes[1]) - 100)
    arch = ellipse(x, y, (19 * wide, -46 + sink), (knob * wide**0.7, knob + 1))
    upper = ellipse(x, y, (-3, -72), (23 * wide, 100))
    upper = smooth_union(upper, arch, fillet)
    upper = smooth_union(upper, ellipse(x, y, (-9 * wide, -26 + sink), (23 * wide, 50)), fillet + 0.1)
    upper = smooth_union(upper, ellipse(x, y, (13 + 4 * thorax.aorta, 20), (17, 98)), 0.5)
    upper = smooth_union(upper, ellipse(x, y, (15 + 5 * (wide - 1), -10 + sink), (25 * wide**0.6, 29)), fillet + 0.1)
    narrow = heart_scale(thorax)
    tall = narrow**0.6
    u, v = (x - 4) * np.float32(1 / narrow) + 4, (y - 66 - sink) * np.float32(1 / tall) + 66
    heart = smooth_union(ellipse(u, v, (26, 68), (64, 47), thorax.heart_turn), ellipse(u, v, (-14, 58), (32, 54)), 0.5)
    heart = smooth_union(heart, ellipse(u, v, (20, 24), (31, 34)), 0.5)
    inside = smooth_union(upper, heart, 0.4)
    middle = 0.85 * grid.smooth(15 - np.abs(grid.part(window)[0]), 14)
    heart, upper = chord(heart), chord(upper)
    occupied[window] = np.minimum(np.maximum(0.74 * chord(inside), middle), 0.985)
    scene.heart, scene.upper_mediastinum = np.zeros_like(grid.x), np.zeros_like(grid.x)
    scene.heart[window] = heart
    scene.upper_mediastinum[window] = upper
    if thorax.calcified:
        rim = (np.sqrt(1 - arch) - np.float32(0.88)) * np.float32(knob)
        scene.bone[window] += 0.8 * grid.line(rim, 2.5) * (x > 8) * (y < -35 + sink)
    return occupied


def _diaphragm(scene: Scene) -> None:
    """End the lungs at the diaphragm (their hind part reaches deeper) and put gas into the stomach."""
    grid, thorax = scene.grid, scene.thorax
    window = grid.window(-thorax.cage - 2, thorax.cage + 2, min(thorax.domes.values()) - 15, 250)
    x, y = grid.part(window)
    left = grid.smooth(x, 36)
    edge = (1 - left) * dome(thorax, x, -1) + left * dome(thorax, x, 1)
    above = edge - y
    share = 0.83 * grid.smooth(above, 2.5) + 0.17 * grid.smooth(above + 20, 34)
    scene.lung[window] *= share
    size = thorax.stomach
    if not thorax.supine:
        top = thorax.domes[1] + 6
        window = grid.window(20, 110, top - 2, top + 40)
        x, y = grid.part(window)
        gas = chord(ellipse(x, y, (56, top + 18 * size), (33 * size, 18 * size))) * grid.smooth(top + 17 * size - y, 2)
        scene.tissue[window] -= 6.5 * gas
    else:
        top = thorax.domes[1] + 14
        window = grid.window(10, 120, top - 4, top + 60)
        x, y = grid.part(window)
        scene.tissue[window] -= 4.0 * chord(ellipse(x, y, (52, top + 24), (38 * size, 22 * size), 0.5))


def _ribs(scene: Scene) -> Field:
    """Twelve pairs of ribs as tilted rings: hind arcs bend outward and down, fore arcs run on down to the mid-line."""
    grid, thorax = scene.grid, scene.thorax
    x, y, root = grid.x, grid.y, scene.root
    away = np.abs(x)
    thick = 1 / (0.32 + 0.68 * root)  # the beam runs along the bone where the ring turns
    fall = (thorax.rib_tilt * cage_width(thorax, y) / thorax.cage).astype(np.float32)
    bone = np.zeros_like(x)
    for front in (False, True):
        rank = (y - fall * (1 + root if front else 1 - root) - FIRST_RIB) * np.float32(1 / RIB_SPACING) + 1
        number = np.rint(rank)
        ribs = grid.smooth(away - (44 + 6 * number), 22) * (number < 7.5) if front else grid.smooth(away - 14, 8)
        ribs = ribs * ((number > 0) & (number < 13)) * (root > 0)
        offset = rank - number
        if not front:
            for fracture in thorax.fractures:
                offset += _step(grid, fracture, number)
        half = np.float32(0.12) * number + np.float32(5.6 if front else 4.6)
        v = offset * np.float32(RIB_SPACING) / half
        ribs = ribs * grid.smooth((1 - np.abs(v)) * 5, 2.0) * (0.52 + 0.48 * v * v) * thick
        if not front:
            for fracture in thorax.fractures:
                ribs = _break(grid, fracture, number, ribs)
        bone += ribs * np.float32((0.58 if front else 1.2) * thorax.bone)
    return bone


def _step(grid: Grid, fracture: Fracture, number: Field) -> Field:
    """Displacement of a broken rib's outer fragment, in rib spacings."""
    beyond = grid.x * fracture.side - fracture.lateral
    slip = grid.smooth(beyond, 2) * np.exp(np.minimum(-beyond, 0) * np.float32(1 / 45))
    return slip * (number == fracture.rib) * np.float32(-fracture.step / RIB_SPACING)


def _break(grid: Grid, fracture: Fracture, number: Field, ribs: Field) -> Field:
    """Open a gap between the fragments, whose ends are dense."""
    beyond = np.abs(grid.x * fracture.side - fracture.lateral)
    here = number == fracture.rib
    ends = np.exp(-np.square((beyond - 7) * np.float32(1 / 4)))
    return ribs * (1 + here * (0.6 * ends - np.exp(-np.square(beyond * np.float32(1 / 3.6)))))


def _spine(scene: Scene) -> None:
    """Vertebral bodies with discs, pedicles and spinous processes behind the mediastinum."""
    grid, thorax = scene.grid, scene.thorax
    window = grid.window(-34, 34, -250, 250)
    x, y = grid.part(window)
    rank = (y - FIRST_RIB) / (RIB_SPACING * 0.98)
    offset = rank - np.rint(rank)
    disc = np.exp(-np.square((np.abs(offset) - 0.5) / 0.11))
    half = 15.5 + 2.5 * np.clip((y + 130) / 260, 0, 1) + 1.6 * np.cos(2 * np.pi * (offset + 0.5))
    body = grid.smooth(half - np.abs(x), 3) * (1.7 - 0.75 * disc)
    pedicles = np.exp(-np.square((np.abs(x) - 10.5) / 3.4)) * np.exp(-np.square((offset + 0.12) / 0.2))
    spinous = np.exp(-np.square((x + np.float32(0.6 * thorax.rotation)) / 3.0)) * np.exp(
        -np.square((offset - 0.28) / 0.16)
    )
    wings = grid.smooth(30 - np.abs(x), 6) * np.exp(-np.square((offset + 0.1) / 0.16)) * 0.35
    scene.bone[window] += ((body + 0.8 * pedicles + 0.9 * spinous + wings) * np.float32(0.45 * thorax.bone)).astype(
        np.float32
    )


def _shoulder_girdle(scene: Scene) -> Field:
    """Clavicles, shoulder blades and the heads of the upper arms."""
    grid, thorax = scene.grid, scene.thorax
    bone = np.zeros_like(grid.x)
    window = grid.window(-190, 190, thorax.clavicle - 50, thorax.clavicle + 30)
    x, y = grid.part(window)
    from_joint = np.abs(x - np.float32(thorax.rotation)) - 17  # a turned chest moves both inner ends to one side
    t = from_joint * np.float32(1 / 140)
    off = y - (thorax.clavicle - 34 * t + 22 * t * t * t - 7 * np.sin(np.float32(2 * np.pi) * t))
    half = 5.2 + 9.6 * np.square(t - 0.45)
    ends = grid.smooth(from_joint, 4) * grid.smooth(1.02 - t, 0.05)
    shell = 0.62 + 0.38 * np.minimum(np.square(off / half), 1)
    bone[window] = grid.smooth(half - np.abs(off), 2) * ends * shell * np.float32(1.9 * thorax.bone)
    for side in (-1, 1):
        blade = thorax.scapula
        window = grid.flank(side, 80, 200, -130, 45)
        x, y = grid.part(window)
        u = x * side
        medial = u - (blade + 8 + 0.13 * (y + 40) + 0.0011 * np.square(y + 40))
        lateral = (blade + 68) - 0.62 * (y + 80) - u
        inside = np.minimum(np.minimum(medial, lateral), y + 112 - 0.12 * (u - blade))
        plate = grid.smooth(inside, 3) * (0.2 + 0.5 * np.exp(-np.square(np.maximum(inside - 2, 0) / 4)))
        head = chord(ellipse(u, y, (blade + 82, -92), (25, 26)))
        shaft = grid.smooth(13 - np.abs(u - (blade + 90) - 0.35 * (y + 70)), 3) * grid.smooth(y + 80, 15)
        bone[window] += (1.4 * plate + 1.6 * np.maximum(head, 0.8 * shaft)) * np.float32(thorax.bone)
    return bone


def _airways(scene: Scene, occupied: Field) -> None:
    """Trachea and main bronchi: air within the mediastinum; and the hila's great vessels."""
    grid, thorax = scene.grid, scene.thorax
    window = grid.window(-60, 60, -200, 48)
    x, y = grid.part(window)
    x = x - np.float32(thorax.shift) * grid.smooth(y + 110, 120)
    tube = chord(1 - np.square((x - 2) / 8.5)) * grid.smooth(-24 - y, 6)
    right = (
        chord(1 - np.square(((x + 18) * 0.8 - (y + 10) * 0.6) / 6.5)) * grid.smooth(x + 30, 14) * grid.smooth(2 - x, 5)
    )
    left = chord(1 - np.square(((x - 20) * 0.6 - (y + 9) * 0.8) / 6.0)) * grid.smooth(32 - x, 14) * grid.smooth(x, 5)
    air = np.maximum(tube, 0.7 * np.maximum(right, left) * grid.smooth(y + 30, 8))
    scene.tissue[window] -= 1.9 * air
    blood = chord(ellipse(x, y, (-36, 8), (11, 26), 0.3)) + chord(ellipse(x, y, (38, -6), (13, 19), -0.4))
    scene.vessels[window] += 1.7 * blood * (1 - occupied[window])
