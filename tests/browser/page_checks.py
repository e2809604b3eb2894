"""What every page must hold, computed in the browser."""

OVERFLOWING = """() => [...document.querySelectorAll('body *')]
    .filter(element => !element.parentElement.closest('.scroll') && element.checkVisibility()
        && !element.matches('.hidden, .skip')
        && element.getBoundingClientRect().right > window.innerWidth + 0.5)
    .map(element => element.tagName + '.' + element.className)"""
CONTRASTS = """() => {
    const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const numbers = text => text.match(/[\\d.]+/g).map(Number);
    const background = element => {
        for (; element; element = element.parentElement) {
            const color = numbers(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')]
        .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
        .filter(element => element.checkVisibility() && element.tagName !== 'NOSCRIPT')
        .map(element => {
            const [a, b] = [numbers(getComputedStyle(element).color), background(element)].map(luminance);
            return [element.tagName + '.' + element.className, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        });
}"""
SMALL_TARGETS = """() => [...document.querySelectorAll('button, input, select, summary, a')]
    .filter(element => element.checkVisibility() && !element.closest('.hidden, .skip, p'))
    .map(element => [element.id || element.name || element.textContent, (element.closest('label') || element)])
    .map(([name, element]) => [name, element.getBoundingClientRect()])
    .filter(([, box]) => box.height < 40 || box.width < 40)
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
UNNAMED = """() => [...document.querySelectorAll('button, input, select, textarea, canvas, output')]
    .filter(element => element.checkVisibility())
    .filter(element => !(element.labels && element.labels.length) && !element.ariaLabel && !element.textContent.trim())
    .map(element => element.outerHTML)"""
