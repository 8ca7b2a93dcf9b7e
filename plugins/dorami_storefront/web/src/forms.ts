/** Forms of the desk, as the JSON that the API takes. Pure. */

/** `블랙, 화이트` as a list: trimmed, without empties and repeats. */
export function list(text: string): string[] {
  return [...new Set(text.split(",").map((part) => part.trim()).filter(Boolean))];
}

export interface NewProduct {
  streamKey: string;
  name: string;
  price: string;
  quantity: number;
  discountRate?: number;
  imageUrl?: string;
  colorOptions?: string[];
  sizeOptions?: string[];
  maxPerBuyer?: number;
}

/** The body of `POST /api/products`; what was left empty is not sent. */
export function newProduct(streamKey: string, fields: (name: string) => string): NewProduct {
  const body: NewProduct = {
    streamKey,
    name: fields("name").trim(),
    price: fields("price").trim(),
    quantity: Number(fields("quantity")),
  };
  const rate = fields("discountRate").trim();
  const image = fields("imageUrl").trim();
  const colors = list(fields("colorOptions"));
  const sizes = list(fields("sizeOptions"));
  if (rate && Number(rate) > 0) body.discountRate = Number(rate);
  if (image) body.imageUrl = image;
  const limit = Number(fields("maxPerBuyer"));
  if (limit > 0) body.maxPerBuyer = limit;
  if (colors.length) body.colorOptions = colors;
  if (sizes.length) body.sizeOptions = sizes;
  return body;
}
