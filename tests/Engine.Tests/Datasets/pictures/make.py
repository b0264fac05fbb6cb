# Makes the pictures of this folder and what Pillow 9.4 decodes and resizes them to: apt-get install python3-pil; python3 make.py
from PIL import Image

WIDTH, HEIGHT = 13, 9


def pixel(x, y):
    return ((x * 20) % 256, (y * 28) % 256, ((x + y) * 11 + (x % 3) * 5) % 256)


picture = Image.new("RGB", (WIDTH, HEIGHT))
picture.putdata([pixel(x, y) for y in range(HEIGHT) for x in range(WIDTH)])
picture.save("gradient.png")
picture.save("gradient.bmp")
picture.save("gradient.jpg", quality=95, subsampling=0)
picture.save("progressive.jpg", quality=95, subsampling=0, progressive=True)
picture.convert("L").save("grey.png")
picture.convert("P", palette=Image.ADAPTIVE, colors=16).save("palette.png")
picture.quantize(16).save("palette.gif")
for name, changed in {
    "smaller": picture.resize((5, 4), Image.BILINEAR),
    "larger": picture.resize((20, 17), Image.BILINEAR),
    "grey-smaller": picture.convert("L").resize((5, 4), Image.BILINEAR),
    "crop": picture.resize((4, 4), Image.BILINEAR, box=(2, 0, 11, 9)),
    "jpeg": Image.open("gradient.jpg").convert("RGB"),
    "progressive": Image.open("progressive.jpg").convert("RGB"),
    "palette": Image.open("palette.png").convert("RGB"),
}.items():
    open(name + ".bin", "wb").write(changed.tobytes())
